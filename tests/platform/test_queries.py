"""How queries run: settings for one, and compiled or not for all."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.platform.queries import INTERPRETED, LARGE, LARGER, fit_queries
from pipelines.spark_conf import sql_conf

WHOLE_STAGE, FACTORY = INTERPRETED


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
        ("score", LARGE - 1, False),
        ("score", LARGE, True),
        ("ingest", LARGE, False),
        ("featurize", LARGER["featurize"] - 1, False),
        ("featurize", LARGER["featurize"], True),
    ],
)
def test_queries_over_tables_large_for_a_stage_are_compiled(spark, stage, rows, is_compiled):
    with sql_conf(spark, **{name.replace(".", "__"): value for name, value in INTERPRETED.items()}):
        fit_queries(spark, rows, stage)
        plan = spark.range(9).where(F.col("id") % 2 == 0)._jdf.queryExecution().executedPlan().toString()
        assert ("*(1)" in plan) == is_compiled
        assert (spark.conf.get(FACTORY) == "FALLBACK") == is_compiled


def test_what_somebody_else_has_set_stays(spark):
    with sql_conf(spark, **{WHOLE_STAGE.replace(".", "__"): "false", FACTORY.replace(".", "__"): "CODEGEN_ONLY"}):
        fit_queries(spark, LARGE, "score")
        assert (spark.conf.get(WHOLE_STAGE), spark.conf.get(FACTORY)) == ("false", "CODEGEN_ONLY")
