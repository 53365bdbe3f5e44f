"""What labels mean in the formats of other programs: an animal, a person, a vehicle, or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipelines.config.settings import LabelMeaning
from pipelines.evaluation.review_policy import BLANK_LABELS

WORDS = {
    "human": {"human", "humans", "person", "persons", "people"},
    "vehicle": {"vehicle", "vehicles"},
}
UNKNOWN = "unknown"  # the label of an image of which a person cannot tell what it shows
UNKNOWN_LABELS = (UNKNOWN, "unidentified")
NO_SPECIES = "animal"  # a label that names no species
Meanings = Mapping[str, tuple[str, str]]  # label -> observation type and scientific name, as of `find_meaning`


def find_meaning(label: str, meanings: Mapping[str, LabelMeaning]) -> tuple[str, str]:
    """Return the observation type of a label, and its scientific name, empty if it has none.

    `meanings`: the setting export.labels, which takes precedence. Without it, a label with a word for people or
    vehicles (`person`, `human_setup`) is one, and any other label but `blank`, `unknown` and the like is an animal of
    that name.
    """
    if label in meanings:
        return meanings[label].type, " ".join((meanings[label].scientific_name or "").split())
    lower = label.lower()
    if lower in BLANK_LABELS:
        return "blank", ""
    if lower in UNKNOWN_LABELS:
        return "unknown", ""
    words = set(re.split(r"[\W_]+", lower))
    for kind, known in WORDS.items():
        if words & known:
            return kind, ""
    return "animal", "" if lower == NO_SPECIES else label
