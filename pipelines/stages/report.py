"""Report: what the tables and the champion say, as one HTML file in the workspace."""

from __future__ import annotations

from pyspark.sql import SparkSession

from pipelines.platform.tracking import Tracking
from pipelines.reports.assemble import assemble
from pipelines.reports.gather import gather
from pipelines.reports.mark import PAGE, bears, mark_of
from pipelines.reports.render import render
from pipelines.settings import Settings
from pipelines.stages.result import Clock, StageResult
from pipelines.storage.files import address_of, read_text, write_text
from pipelines.storage.tables import Tables


def prepare(settings: Settings) -> None:
    """Connect to MLflow."""
    Tracking.of(settings)


def run(spark: SparkSession, settings: Settings) -> StageResult:
    """Write WORKSPACE/reports/report.html, unless it says already what there is to say."""
    clock, tables, tracking = Clock(), Tables.of(spark, settings), Tracking.of(settings)
    tables.require("images")
    version = tracking.champion()
    mark = mark_of(tables, settings, version.run_id if version else None)
    if bears(read_text(tables, PAGE), mark):
        return StageResult("report", seconds=clock.seconds, outcome=_again(address_of(tables, PAGE)))
    gathered = gather(tables, settings, version)
    page = render(assemble(settings, tracking, version, gathered.parts))
    address = write_text(tables, PAGE, page + mark)
    made = {"report": PAGE}
    return StageResult(
        "report", gathered.files, 1, seconds=clock.seconds, outcome=address, again=_again(address), made=made
    )


def _again(address: str) -> str:
    return f"unchanged: {address}"
