"""How queries run: settings for one, and compiled or not for all."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.spark.runtime import CODEGEN_MIN_ROWS, CODEGEN_MIN_ROWS_BY_STAGE, NO_CODEGEN, sql_conf, tune_codegen

WHOLE_STAGE, FACTORY = NO_CODEGEN


def test_settings_for_one_query_are_put_back(spark):
    before = spark.conf.get("spark.sql.shuffle.partitions")
    with pytest.raises(ZeroDivisionError), sql_conf(spark, spark__sql__shuffle__partitions=7, spark__irbis__x=True):
        assert spark.conf.get("spark.sql.shuffle.partitions") == "7"
        assert spark.conf.get("spark.irbis.x") == "True"
        raise ZeroDivisionError
    assert spark.conf.get("spark.sql.shuffle.partitions") == before
    assert spark.conf.get("spark.irbis.x", None) is None


@pytest.mark.parametrize(
    "stage, rows, is_compiled",
    [
        ("score", CODEGEN_MIN_ROWS - 1, False),
        ("score", CODEGEN_MIN_ROWS, True),
        ("ingest", CODEGEN_MIN_ROWS, False),
        ("featurize", CODEGEN_MIN_ROWS_BY_STAGE["featurize"] - 1, False),
        ("featurize", CODEGEN_MIN_ROWS_BY_STAGE["featurize"], True),
    ],
)
def test_queries_over_tables_large_for_a_stage_are_compiled(spark, stage, rows, is_compiled):
    with sql_conf(spark, **{name.replace(".", "__"): value for name, value in NO_CODEGEN.items()}):
        tune_codegen(spark, rows, stage)
        plan = spark.range(9).where(F.col("id") % 2 == 0)._jdf.queryExecution().executedPlan().toString()
        assert ("*(1)" in plan) == is_compiled
        assert (spark.conf.get(FACTORY) == "FALLBACK") == is_compiled


def test_what_somebody_else_has_set_stays(spark):
    with sql_conf(spark, **{WHOLE_STAGE.replace(".", "__"): "false", FACTORY.replace(".", "__"): "CODEGEN_ONLY"}):
        tune_codegen(spark, CODEGEN_MIN_ROWS, "score")
        assert (spark.conf.get(WHOLE_STAGE), spark.conf.get(FACTORY)) == ("false", "CODEGEN_ONLY")
