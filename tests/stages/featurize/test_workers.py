"""What a Python worker keeps between tasks, and what it imports."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.stages.featurize import stage as featurize
from pipelines.workspace.tables import Tables

from ..conftest import changed


@pytest.fixture
def settings(mixed):
    return mixed


@pytest.fixture
def fresh_workers(spark, monkeypatch, tmp_path):
    """Run Python in workers that no earlier test has used: Spark keeps other ones for each environment."""
    monkeypatch.setitem(spark.sparkContext.environment, "IRBIS_TEST", tmp_path.name)


def probe_workers(spark, probe):
    """Return {process id: result of `probe`, as texts} of the Python workers that run such tasks."""

    def look(batches):
        time.sleep(0.2)  # so that both workers take part
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"process": [os.getpid()], "result": [list(map(str, probe()))]})

    rows = spark.range(4).repartition(4).mapInArrow(look, "process long, result array<string>").collect()
    return {row["process"]: row["result"] for row in rows}


def engines_of_workers(spark):
    """Return {process id: ids of its engine objects}."""

    def engines():
        from pipelines.engines import engine

        return [f"{key} {id(each)}" for key, each in engine._engines.items()]

    return {process: set(values) for process, values in probe_workers(spark, engines).items()}


def test_a_worker_builds_its_network_once_for_all_tasks_commits_and_runs(spark, fresh_workers, settings):
    several = changed(settings, "featurize", images_per_commit=1)
    featurize.run(spark, several)
    before = {process: each for process, each in engines_of_workers(spark).items() if each}
    Tables.of(spark, settings).delete("features", F.lit(True))
    assert featurize.run(spark, several).read == 4
    after = engines_of_workers(spark)
    identity = load_backbone("irbis_tiny").feature_id
    assert before and all(each <= after[process] for process, each in before.items() if process in after)
    for each in after.values():
        assert sum(identity in name for name in each) <= 1


def test_what_a_worker_has_loaded_is_not_walked_through_after_every_task(spark, fresh_workers, settings):
    featurize.run(spark, settings)
    values = probe_workers(spark, lambda: [gc.get_freeze_count(), len(gc.get_objects())])
    kept, walked = max((int(kept), int(walked)) for kept, walked in values.values())
    assert kept > 20_000 and walked < kept / 2


@pytest.mark.process
def test_a_worker_imports_neither_torch_nor_spark_sql_nor_pandas_nor_the_settings():
    heavy = "torch", "pandas", "pydantic", "yaml", "delta", "sklearn", "mlflow", "pyspark"
    code = "import sys, pipelines.engines.arrow, pipelines.engines.openvino_engine; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pipelines.backbones.backbone" in done.stdout.split()
    assert not set(heavy) & set(done.stdout.split())
