"""Clusters: sizes, node types, GPUs and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.databricks.bundle import bundle_folder
from pipelines.databricks.clusters import NodeType, node_types, validate_cluster

KNOWN = node_types(bundle_folder())
GPU = {"spark_version": "16.4.x-gpu-ml-scala2.12", "node_type_id": "Standard_NC64as_T4_v3"}


def test_the_list_holds_cores_and_gpus_of_the_types_that_the_bundle_uses():
    assert KNOWN["Standard_NC4as_T4_v3"] == NodeType("Standard_NC4as_T4_v3", 4, 1)
    assert KNOWN["Standard_D4ds_v5"] == NodeType("Standard_D4ds_v5", 4, 0)


def test_a_bundle_may_bring_its_own_list(tmp_path: Path):
    (tmp_path / "node_types.yaml").write_text("cpu: {mine: 2}\ngpu: {yours: [8, 2]}", encoding="utf-8")
    assert node_types(tmp_path) == {"mine": NodeType("mine", 2), "yours": NodeType("yours", 8, 2)}


@pytest.mark.parametrize(
    ("cluster", "fault"),
    [
        ({**GPU, "spark_conf": {"spark.task.cpus": "16"}}, None),
        ({**GPU, "spark_conf": {"spark.task.cpus": 16}}, None),
        ({**GPU, "spark_conf": {"spark.task.cpus": "${var.cpus}"}}, None),
        (
            {**GPU, "spark_conf": {"spark.task.cpus": "8"}},
            "has 64 cores and 4 GPUs. Set it to 16: one task for each GPU",
        ),
        (GPU, "spark.task.cpus = 1, and"),
        (
            {**GPU, "spark_conf": {"spark.task.cpus": "16", "spark.task.resource.gpu.amount": "0.5"}},
            "spark.task.resource.gpu.amount = 0.5. Set it to 1",
        ),
        ({**GPU, "spark_version": "16.4.x-scala2.12", "spark_conf": {"spark.task.cpus": "16"}}, "has 4 GPUs. Take a"),
        ({"node_type_id": "${var.node}"}, None),
        ({"driver_node_type_id": "zzz"}, "c.driver_node_type_id = zzz is no node type we know of. Add it to"),
        ({"autoscale": {"min_workers": 2, "max_workers": 2}}, "c.autoscale goes from 2 to 2 workers."),
        ({"autotermination_minutes": 20}, "not for clusters of jobs: they end with their last task."),
        ({"spark_env_vars": {"IRBIS_AZURE__ACCOUNT_KEY": "abc"}}, "c.spark_env_vars.IRBIS_AZURE__ACCOUNT_KEY holds a"),
        ({"spark_env_vars": {"IRBIS_AZURE__ACCOUNT_KEY": "{{secrets/irbis/key}}"}}, None),
        ({"spark_conf": {"fs.azure.account.key.a.dfs.core.windows.net": "abc"}}, "holds a secret itself"),
    ],
)
def test_a_cluster_that_would_fail_or_idle_is_told(cluster, fault):
    said = list(validate_cluster(cluster, "c", KNOWN))
    assert len(said) == (fault is not None)
    assert not fault or fault in said[0]
