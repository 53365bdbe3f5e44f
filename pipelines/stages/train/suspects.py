"""Suspected label errors of a training: for review, for the report, and as an artifact of the version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pipelines.classifiers.training_set import TrainingSet
from pipelines.evaluation.label_errors import SELF_CONFIDENCE, Suspect, first_suspects, rank_labels, ranking_to_csv
from pipelines.evaluation.predictions import PredictionSet
from pipelines.formatting import pluralize
from pipelines.workspace.files import write_text
from pipelines.workspace.tables import Tables

SUSPECTS_PATH = "review/suspects.json"
RANKING_FILE = "label_errors.csv"  # artifact of the version: all ranked images
MAX_SHOWN = 200  # in the evaluation file, for the report: the largest report.gallery_size


@dataclass(frozen=True)
class LabelErrors:
    """The ranking of the labelled images that have a held-out prediction; `unranked` counts the others."""

    method: str = SELF_CONFIDENCE
    ranking: Sequence[Suspect] = ()
    unranked: int = 0

    def to_csv(self) -> str:
        """Return the whole ranking as CSV, one row per image in order."""
        return ranking_to_csv(self.ranking)

    def to_dict(self) -> dict[str, Any]:
        """Return what the evaluation file holds: the counts, and the first suspects."""
        first = [suspect._asdict() for suspect in first_suspects(self.ranking)[:MAX_SHOWN]]
        return {"method": self.method, "ranked": len(self.ranking), "unranked": self.unranked, "first": first}

    def notes(self) -> tuple[str, ...]:
        if not self.unranked:
            return ()
        return (
            f"{pluralize(self.unranked, 'labelled image')} could not be checked for label errors, as no model without "
            "them has predicted them: with train.cv_folds=0 those of the training split, else those of classes with "
            "one group.",
        )


def find_label_errors(rows: TrainingSet, held_out: Sequence[PredictionSet | None], method: str) -> LabelErrors:
    """Rank the labels of the rows by held-out predictions, of which the first of an image counts."""
    ranking = rank_labels([each for each in held_out if each], method)
    return LabelErrors(method, ranking, len(rows) - len(ranking))


def write_suspects(tables: Tables, errors: LabelErrors, rows: TrainingSet, version: str) -> None:
    """Write WORKSPACE/review/suspects.json, the queue of `irbis review --queue suspects`."""
    images = rows.images.set_index("content_hash")[["path", "burst_id", "group_id"]]
    items = []
    for suspect in first_suspects(errors.ranking):
        path, burst, group = images.loc[suspect.content_hash]
        items.append({**suspect._asdict(), "path": path, "burst_id": burst, "group_id": group})
    values = {
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model_version": version,
        "method": errors.method,
        "items": items,
    }
    write_text(tables, SUSPECTS_PATH, json.dumps(values, indent=1, ensure_ascii=False))
