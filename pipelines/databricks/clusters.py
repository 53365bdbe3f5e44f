"""Validate the clusters of a bundle's jobs beyond what schema and CLI check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.config.loader import read_yaml
from pipelines.databricks.bundle import bundle_folder
from pipelines.redaction import is_secret

NODE_TYPES = "node_types.yaml"  # in the bundle's folder


@dataclass(frozen=True)
class NodeType:
    """Cores and GPUs of a node type."""

    name: str
    cores: int
    gpus: int = 0


def node_types(folder: Path) -> dict[str, NodeType]:
    """Return the known node types, from the bundle's own list, else from the packaged one."""
    own = folder / NODE_TYPES
    tree = read_yaml(own if own.is_file() else bundle_folder() / NODE_TYPES)
    found = {name: NodeType(name, cores) for name, cores in tree["cpu"].items()}
    return found | {name: NodeType(name, *both) for name, both in tree["gpu"].items()}


def validate_cluster(cluster: Mapping[str, Any], where: str, known: Mapping[str, NodeType]) -> Iterator[str]:
    """Yield the faults of one cluster; `where` is its file and path."""
    yield from _size_faults(cluster, where)
    for key in ("node_type_id", "driver_node_type_id"):
        name = cluster.get(key)
        if isinstance(name, str) and name not in known and "${" not in name:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? Else add" if near else "Add"
            yield f"{where}.{key} = {name} is no node type we know of. {hint} it to {NODE_TYPES}, with cores and GPUs."
    if node := known.get(str(cluster.get("node_type_id"))):
        yield from _gpu_faults(cluster, where, node)
    for section in ("spark_env_vars", "spark_conf"):
        for name, value in (cluster.get(section) or {}).items():
            if is_secret(name, value) and "${" not in str(value):
                yield f"{where}.{section}.{name} holds a secret itself. Refer to it: {{{{secrets/SCOPE/KEY}}}}."


def _size_faults(cluster: Mapping[str, Any], where: str) -> Iterator[str]:
    scale = cluster.get("autoscale")
    if scale and "num_workers" in cluster:
        yield f"{where} has autoscale and num_workers = {cluster['num_workers']}. Keep one of them."
    if scale:
        low, high = scale.get("min_workers"), scale.get("max_workers")
        if isinstance(low, int) and isinstance(high, int) and low >= high:
            yield f"{where}.autoscale goes from {low} to {high} workers. max_workers should be above min_workers."
    if "autotermination_minutes" in cluster:
        yield f"{where}.autotermination_minutes is not for clusters of jobs: they end with their last task. Remove it."


def _gpu_faults(cluster: Mapping[str, Any], where: str, node: NodeType) -> Iterator[str]:
    runtime = str(cluster.get("spark_version", ""))
    if "${" not in runtime and ("-gpu-" in runtime) != bool(node.gpus):
        has, wanted = (_format_gpus(node), "-gpu-") if node.gpus else ("no GPU", "-cpu-")
        yield f"{where}.spark_version = {runtime}, and {node.name} has {has}. Take a runtime with {wanted} in its name."
    if not node.gpus:
        return
    conf = cluster.get("spark_conf") or {}
    amount, cpus = str(conf.get("spark.task.resource.gpu.amount", 1)), str(conf.get("spark.task.cpus", 1))
    if "${" not in amount and amount != "1":
        yield f"{where}.spark_conf: spark.task.resource.gpu.amount = {amount}. Set it to 1: one task for each GPU."
    if "${" not in cpus and (not cpus.isdigit() or int(cpus) != node.cores // node.gpus):
        yield (
            f"{where}.spark_conf: spark.task.cpus = {cpus}, and {node.name} has {node.cores} cores and "
            f"{_format_gpus(node)}. "
            f"Set it to {node.cores // node.gpus}: one task for each GPU, with all its cores behind it."
        )


def _format_gpus(node: NodeType) -> str:
    return "1 GPU" if node.gpus == 1 else f"{node.gpus} GPUs"
