"""The settings in deploy/kubernetes are names that Spark knows, and match a local session."""

from __future__ import annotations

import os
from pathlib import Path

import pyspark
import pytest

from pipelines.redaction import SECRET_PATTERN
from pipelines.spark.session import DELTA_CONF, MALLOC_ENV
from tests.deploy.kubernetes_files import FOLDER, IN_IMAGE, ROOT, dockerfile_instructions, documents, spark_settings
from tests.deploy.spark_names import unknown

files = pytest.mark.parametrize("name", ["spark.conf", "spark-gpu.conf"])


def test_spark_brings_what_it_needs_to_speak_to_kubernetes():
    jars = [path.name for path in (Path(pyspark.__path__[0]) / "jars").glob("*.jar")]
    assert any(name.startswith("spark-kubernetes_2.12-") for name in jars)


@files
def test_the_settings_are_sparks_own_and_those_of_a_local_session(name):
    settings = spark_settings(name)
    assert all(key.startswith("spark.") for key in settings)
    assert {key: settings[key] for key in DELTA_CONF} == DELTA_CONF
    assert {key: int(settings[f"spark.executorEnv.{key}"]) for key in MALLOC_ENV} == MALLOC_ENV
    assert settings["spark.redaction.regex"] == SECRET_PATTERN
    assert "spark.jars.packages" not in settings  # they are in the image
    for side in ("driver", "executor"):
        template = settings[f"spark.kubernetes.{side}.podTemplateFile"]
        assert (ROOT / template).is_file(), template


@files
def test_every_setting_is_one_that_this_spark_knows(name):
    assert unknown(spark_settings(name)) == []
    wrong = ["spark.kubernetes.container.image.pullPolicys", "spark.executor.core"]
    assert unknown([*wrong, "spark.driver.memory"]) == wrong


def test_the_settings_for_gpus_differ_only_in_the_executors():
    cpu, gpu = spark_settings("spark.conf"), spark_settings("spark-gpu.conf")
    different = {key for key in cpu.keys() | gpu.keys() if cpu.get(key) != gpu.get(key)}
    assert all("executor" in key.lower() or key.startswith("spark.task.") for key in different)


def test_a_task_on_a_gpu_has_it_alone_with_all_the_cores_of_its_executor():
    gpu = spark_settings("spark-gpu.conf")
    assert gpu["spark.executor.resource.gpu.amount"] == gpu["spark.task.resource.gpu.amount"] == "1"
    assert gpu["spark.executor.resource.gpu.vendor"] == "nvidia.com"
    assert gpu["spark.task.cpus"] == gpu["spark.executor.cores"] == gpu["spark.executorEnv.OMP_NUM_THREADS"]
    script = gpu["spark.executor.resource.gpu.discoveryScript"].removeprefix(IN_IMAGE)
    assert os.access(FOLDER / script, os.X_OK)
    assert any(word == "COPY" and f"deploy/kubernetes/{script}" in rest for word, rest in dockerfile_instructions())
    (pod,) = documents("pod-gpu.yaml")
    assert pod["spec"].pop("tolerations")[0]["key"] == "nvidia.com/gpu"
    assert [pod] == documents("pod.yaml")


def test_memory_follows_the_rule_of_hdinsight():
    cpu = spark_settings("spark.conf")
    cores = int(cpu["spark.executor.cores"])
    assert cpu["spark.kubernetes.executor.request.cores"] == str(cores)
    assert (
        cpu["spark.executor.memory"] == f"{2 * cores}g"
        and cpu["spark.executor.memoryOverhead"] == f"{3.5 * cores:.0f}g"
    )
