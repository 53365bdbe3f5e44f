"""How a local session runs the queries that follow: interpreted, or compiled where there are many rows."""

from __future__ import annotations

from pyspark.sql import SparkSession

CODEGEN_MIN_ROWS = 50_000  # rows of images from which compiling a stage's queries costs less than it saves
CODEGEN_MIN_ROWS_BY_STAGE = {
    "ingest": 1_000_000,
    "featurize": 1_000_000,
}  # these look at what is there a few times, and at few columns
NO_CODEGEN = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def tune_codegen(spark: SparkSession, rows: int, stage: str) -> None:
    """Let a session that interprets its queries, as our local ones do, compile them for a stage with many rows."""
    if rows >= CODEGEN_MIN_ROWS_BY_STAGE.get(stage, CODEGEN_MIN_ROWS) and all(
        spark.conf.get(name, None) == value for name, value in NO_CODEGEN.items()
    ):
        spark.conf.set("spark.sql.codegen.wholeStage", "true")
        spark.conf.set("spark.sql.codegen.factoryMode", "FALLBACK")
