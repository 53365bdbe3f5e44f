"""Find out what the observations of a Camtrap DP package say: their label, and the images that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import pandas as pd

from pipelines.sources.camtrap_package import Package
from pipelines.sources.label_tables.table_content import first_nonempty
from pipelines.sources.label_times import to_utc

WITHOUT_SPECIES = ("blank", "human", "vehicle")  # observation types that are labels themselves
LABEL_TAG = "label:"
SEVERAL = "\0several"  # stands for the label of an image with several species
# Of several observations of one image, those of the highest rank count: an animal, even without a species, is no blank.
RANKS = {"unclassified": 0, "blank": 1, "unknown": 2, "animal": 3, "vehicle": 4, "human": 4}
NAMED_ANIMAL = 4
Meaning = tuple[str, str]  # observationType and scientificName


def add_labels(observations: pd.DataFrame, package: Package, meanings: Mapping[str, Meaning]) -> None:
    """Add label, rank and is_unknown, in place."""
    kind = observations["observationType"].str.lower()
    tag = observations["observationTags"].str.extract(rf"(?:^|\|)\s*{LABEL_TAG}([^|]*)", expand=False).fillna("")
    written = pd.DataFrame({"kind": kind, "name": observations["scientificName"], "tag": tag.str.strip()})
    own = _own_meanings(package)
    inverse: dict[Meaning, list[str]] = {}
    for label, meaning in meanings.items():
        inverse.setdefault(meaning, []).append(label)
    combinations = written.drop_duplicates()
    labels = [
        _label(kind, name, unquote(tag), own, inverse) for kind, name, tag in combinations.itertuples(index=False)
    ]
    keys = pd.MultiIndex.from_frame(combinations)
    observations["label"] = pd.Series(labels, index=keys, dtype=object).reindex(pd.MultiIndex.from_frame(written)).array
    observations["is_unknown"] = (kind == "unknown") & (observations["label"] == "")
    rank = kind.map(RANKS).fillna(0).astype(int)
    observations["rank"] = rank.mask((kind == "animal") & (observations["label"] != ""), NAMED_ANIMAL)
    observations["eventID"] = first_nonempty(observations["eventID"], observations["sequenceID"])
    observations["comment"] = first_nonempty(observations["observationComments"], observations["comments"])


def is_own(package: Package) -> bool:
    """Return whether irbis wrote the package."""
    return "irbis" in package.descriptor


def _own_meanings(package: Package) -> dict[str, Meaning]:
    """Return what labels meant when irbis wrote the package."""
    own = package.descriptor.get("irbis")
    labels = own.get("labels") if isinstance(own, dict) else None
    return {
        label: (str(meaning.get("type") or ""), str(meaning.get("scientific_name") or ""))
        for label, meaning in (labels.items() if isinstance(labels, dict) else ())
        if isinstance(meaning, dict)
    }


def _label(kind: str, name: str, tag: str, own: Mapping[str, Meaning], inverse: Mapping[Meaning, list[str]]) -> str:
    """Return the label of an observation, empty if it has none.

    The tag is the label that irbis exported. It counts only where the observation has not been changed since.
    """
    if tag and own.get(tag) == (kind, name):
        return tag
    known = inverse.get((kind, name), [])
    if len(known) == 1:
        return known[0]
    return kind if kind in WITHOUT_SPECIES else name if kind == "animal" else ""


def resolve(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return one row for each value of the key: what the person who classified it last saw.

    Their label is SEVERAL where they saw several species.
    """
    rows = rows.assign(at=_instants(rows["classificationTimestamp"]), probability=_number(rows))
    rows = rows.sort_values(["at", "probability"], kind="stable", na_position="first")
    last = rows.groupby(key, sort=False)["classifiedBy"].transform("last")
    rows = rows[rows["classifiedBy"] == last]
    rows = rows[rows["rank"] == rows.groupby(key, sort=False)["rank"].transform("max")]
    count = rows.groupby(key, sort=False)["label"].transform("nunique")
    rows = rows.assign(label=rows["label"].mask(count > 1, SEVERAL)).drop_duplicates(key, keep="last")
    kept = ["label", "is_unknown", "classifiedBy", "classificationTimestamp", "comment"]
    return rows.set_index(key)[kept]


def event_key(rows: pd.DataFrame) -> pd.Series:
    """Return what identifies an event in the whole package: its id, else its deployment and times."""
    span = rows["deploymentID"] + "\0" + rows["eventStart"] + "\0" + rows["eventEnd"]
    return (rows["deploymentID"] + "\0" + rows["eventID"]).where(rows["eventID"] != "", span)


def events_of_media(media: pd.DataFrame, observations: pd.DataFrame) -> pd.Series:
    """Return the event of each image, by mediaID: one that names it, else one of its deployment at its time."""
    named = observations[(observations["mediaID"] != "") & (observations["eventID"] != "")]
    linked = named.drop_duplicates("mediaID").set_index("mediaID")
    event = event_key(linked).reindex(media.index)
    sequence = media["sequenceID"]
    event = event.where(event.notna() | (sequence == ""), media["deploymentID"] + "\0" + sequence)
    spans = observations[observations["mediaID"] == ""]
    spans = spans.assign(event=event_key(spans), at=_instants(spans["eventStart"]), end=_instants(spans["eventEnd"]))
    spans = spans.drop_duplicates("event").dropna(subset=["at", "end"]).sort_values("at")
    rest = media[event.isna()].assign(at=_instants(media["timestamp"])).dropna(subset=["at"])
    if not (len(spans) and len(rest)):
        return event.fillna("")
    rest = rest.reset_index().sort_values("at")
    joined = pd.merge_asof(
        rest[["mediaID", "deploymentID", "at"]],
        spans[["deploymentID", "at", "end", "event"]],
        on="at",
        by="deploymentID",
    )
    joined = joined[joined["at"] <= joined["end"]].set_index("mediaID")["event"]
    return event.fillna(joined.reindex(media.index)).fillna("")


def _number(rows: pd.DataFrame) -> pd.Series:
    return pd.to_numeric(rows["classificationProbability"], errors="coerce")


def _instants(text: pd.Series) -> pd.Series:
    return to_utc(text.where(text != "", None))
