"""Report: summarise the tables and the champion in one HTML file in the workspace."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipelines.config.settings import Settings
from pipelines.reports.assemble import assemble
from pipelines.reports.collect import collect_inputs
from pipelines.reports.render import render
from pipelines.reports.staleness import REPORT_PATH, is_up_to_date, report_fingerprint
from pipelines.stages.result import StageResult, Stopwatch
from pipelines.tracking.mlflow_client import Tracking
from pipelines.workspace.files import file_uri, read_text, write_text
from pipelines.workspace.journals import journal_notes, merge_journals
from pipelines.workspace.tables import Tables


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Write WORKSPACE/reports/report.html, unless it is up to date."""
    clock, tables, tracking = Stopwatch(), Tables.of(spark, settings), Tracking.of(settings)
    tables.require("images")
    merge_journals(tables)
    notes = tuple(journal_notes(tables.workspace))
    version = tracking.champion()
    fingerprint = report_fingerprint(tables, settings, version.run_id if version else None)
    if is_up_to_date(read_text(tables, REPORT_PATH), fingerprint):
        outcome = _noop_outcome(file_uri(tables, REPORT_PATH))
        return StageResult("report", 0, 0, {}, clock.seconds, notes, outcome, notes)
    inputs = collect_inputs(tables, settings, version)
    page = render(assemble(settings, tracking, version, inputs.parts))
    address = write_text(tables, REPORT_PATH, page + fingerprint)
    return StageResult(
        "report",
        inputs.files,
        1,
        seconds=clock.seconds,
        notes=notes,
        outcome=address,
        persistent_notes=notes,
        noop_outcome=_noop_outcome(address),
        artifacts={"report": REPORT_PATH},
    )


def _noop_outcome(address: str) -> str:
    return f"unchanged: {address}"
