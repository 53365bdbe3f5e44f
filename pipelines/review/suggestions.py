"""Write WORKSPACE/review/suggestions.json: the bursts to label next, for `irbis review --queue suggest`."""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from pyspark.sql import SparkSession

from pipelines.atomic_write import write_atomic
from pipelines.backbones import feature_id
from pipelines.classifiers.predict import load_model
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.evaluation.results import align_columns, truncate
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.feature_ids import featurize_options
from pipelines.formatting import escape_formula, file_name, pluralize
from pipelines.review.candidates import Drawn, Pool, Scorer, draw, unlabelled_bursts
from pipelines.review.suggest import MODEL_REASONS, choose
from pipelines.tracking.mlflow_client import CHAMPION, ModelVersion, Tracking
from pipelines.workspace.files import write_text
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables

SUGGESTIONS_PATH = "review/suggestions.json"
SHOWN = 10  # rows of the printed table


@dataclass(frozen=True)
class Suggestion:
    """A burst to label. `content_hash` and `path` are those of its image that decided."""

    content_hash: str
    path: str
    burst_id: str
    group_id: str
    station: str
    reason: str
    is_model_chosen: bool


@dataclass(frozen=True)
class SuggestResult:
    """The suggestions in the order in which to look, and what is printed."""

    items: tuple[Suggestion, ...]
    notes: tuple[str, ...]
    closing_line: str

    def table(self) -> str:
        """Return the numbers by reason, and the first suggestions, as text."""
        if not self.items:
            return ""
        counts = Counter(item.reason for item in self.items)
        rows = [["", "reason", "station", "file", "burst"]]
        for i, item in enumerate(self.items[:SHOWN], 1):
            rows.append(
                [str(i), item.reason, truncate(item.station or "-"), truncate(file_name(item.path)), item.burst_id]
            )
        more = [f"... and {len(self.items) - SHOWN:,} more"] if len(self.items) > SHOWN else []
        by_reason = ", ".join(f"{n:,} {reason}" for reason, n in counts.items())
        return "\n".join([*align_columns(rows), *more, f"By reason: {by_reason}."])


def suggest(spark: SparkSession, settings: Settings, count: int, find: str | None = None) -> SuggestResult:
    """Choose up to `count` unlabelled bursts and write them to the workspace.

    With a champion (or the version of `score.model_version`), it scores the candidates; without one they are cluster
    centres of the features of settings.featurize.backbone. `find` names a class whose images are to be found with few
    looks. Raises DataError if no image has features.
    """
    start, tables, tracking = time.monotonic(), Tables.of(spark, settings), Tracking.of(settings)
    tables.require("images")
    merge_journals(tables)
    version = _find_version(tracking, settings)
    backbone = version.tags["backbone"] if version else feature_id(settings)
    pool = unlabelled_bursts(tables, backbone, settings.sources.label_case, find)
    _require_features(pool, tables, backbone)
    items: list[Suggestion] = []
    if pool.count and count:
        scorer = _load_scorer(tracking, version, settings, find) if version else None
        items = _choose(draw(tables, pool, backbone, count, scorer), count)
    address = write_text(tables, SUGGESTIONS_PATH, _to_json(items, version))
    notes = (*journal_notes(tables.workspace), *_notes(pool, version, backbone, find))
    return SuggestResult(tuple(items), notes, _closing_line(pool, len(items), time.monotonic() - start, address))


def write_csv(items: Sequence[Suggestion], target: Path) -> None:
    """Write the suggestions to a file, with a row for each. Cells hold no formulas of spreadsheets."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Suggestion.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: escape_formula(value) for name, value in asdict(item).items()} for item in items)
    try:
        write_atomic(target, text.getvalue().encode())
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error}). Choose another --out.") from error


def _find_version(tracking: Tracking, settings: Settings) -> ModelVersion | None:
    wanted = settings.score.model_version
    return tracking.champion() if wanted == CHAMPION else tracking.get_version(wanted)


def _load_scorer(tracking: Tracking, version: ModelVersion, settings: Settings, find: str | None) -> Scorer:
    policy = ReviewPolicy.from_json(version.tags.get("review_policy"))
    can_dismiss = 0 < len(policy.classes_of_interest) < len(version.classes)
    thresholds = policy.thresholds(settings.score.recall_unit, settings.score.target_recall) if can_dismiss else {}
    return Scorer(load_model(tracking, version), version.classes, policy, thresholds, find)


def _require_features(pool: Pool, tables: Tables, backbone: str) -> None:
    if pool.without_features and not pool.count:
        raise DataError(
            f"{pluralize(pool.without_features, 'unlabelled image')} and no features of {backbone}. "
            f"Run `irbis featurize {featurize_options(backbone)}` first."
        )
    if not pool.count:
        tables.require("features")


def _choose(drawn: Drawn, count: int) -> list[Suggestion]:
    candidates, items = drawn.candidates, []
    for choice in choose(candidates, count, drawn.criterion):
        path, content_hash = drawn.images[choice.row]
        burst, group, station = (
            values[choice.row] for values in (candidates.burst_id, candidates.group_id, candidates.station)
        )
        is_model_chosen = choice.reason in MODEL_REASONS
        items.append(Suggestion(content_hash, path, burst, group, station, choice.reason, is_model_chosen))
    return items


def _to_json(items: Sequence[Suggestion], version: ModelVersion | None) -> str:
    values = {
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model_version": version.version if version else None,
        "items": [asdict(item) for item in items],
    }
    return json.dumps(values, indent=1, ensure_ascii=False)


def _notes(pool: Pool, version: ModelVersion | None, backbone: str, find: str | None) -> list[str]:
    notes = []
    if pool.without_features:
        notes.append(
            f"{pluralize(pool.without_features, 'unlabelled image')} without features of {backbone}: left out. "
            f"Run `irbis featurize {featurize_options(backbone)}`."
        )
    if find is not None and version is None:
        notes.append(f"there is no model that knows {find} yet: label the suggestions, then run `irbis train`.")
    elif find is not None and version and find not in version.classes:
        known = ", ".join(map(truncate, version.classes[:20]))
        notes.append(f"{version} does not know {find}: suggested are cluster centres. It knows {known}.")
    return notes


def _closing_line(pool: Pool, count: int, seconds: float, address: str) -> str:
    """Return `suggest: 100 of 1,904 unlabelled bursts, 13 images left out (11 truncated, 2 empty), 3.4 s; ADDRESS`."""
    what = f"{count:,} of {pluralize(pool.count, 'unlabelled burst')}"
    if not pool.count:
        what = "every readable burst has a label"
    failures = sorted(pool.failures.items(), key=lambda pair: (-pair[1], pair[0]))
    kinds = ", ".join(f"{n:,} {name}" for name, n in failures)
    left_out = f", {pluralize(sum(pool.failures.values()), 'image')} left out ({kinds})" if failures else ""
    return f"suggest: {what}{left_out}, {seconds:.1f} s; {address}"
