"""Validate a bundle beyond its schema, before it is deployed; reports all faults at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from pipelines.databricks.bundle import BUNDLE_FILE, Bundle, Tree, is_local, iter_leaves, resolve_target, sync_folders
from pipelines.databricks.clusters import NodeType, node_types, validate_cluster
from pipelines.databricks.quartz import validate_cron

CheckParameters = Callable[[str, Sequence[str]], list[str]]  # (command, parameters) -> faults

COMPUTE = ("job_cluster_key", "new_cluster", "existing_cluster_id", "environment_key")
TRIGGERS = ("schedule", "trigger", "continuous")


@dataclass(frozen=True)
class YamlLocation:
    """Location of a part of a job in a bundle: its file and its path in the tree."""

    bundle: Bundle
    job: str
    path: str = ""

    def at(self, name: str) -> YamlLocation:
        """Return the location of a part, such as tasks[0]."""
        return YamlLocation(self.bundle, self.job, f"{self.path}.{name}" if self.path else name)

    @property
    def origin(self) -> str:
        """Return where the value is defined: for a single variable, its entry among the variables."""
        value = self.bundle.tree["resources"]["jobs"].get(self.job)
        for key in re.findall(r"[^.\[\]]+", self.path):
            if isinstance(value, list):
                value = value[int(key)] if int(key) < len(value) else None
            else:
                value = value.get(key) if isinstance(value, dict) else None
        whole = re.fullmatch(r"\$\{var\.([\w-]+)\}", value) if isinstance(value, str) else None
        return f"{BUNDLE_FILE}: variables.{whole[1]}" if whole else str(self)

    @property
    def folder(self) -> Path:
        """Return the folder that paths here are relative to."""
        return self.bundle.root / self.bundle.file_of(self.job).parent

    def __str__(self) -> str:
        below = f".{self.path}" if self.path else ""
        return f"{self.bundle.file_of(self.job).as_posix()}: resources.jobs.{self.job}{below}"


@dataclass(frozen=True)
class BundleValidator:
    """Checks of the jobs of one target."""

    bundle: Bundle
    tree: Tree
    nodes: Mapping[str, NodeType]
    check_parameters: CheckParameters

    def job(self, name: str, job: Tree) -> Iterator[str]:
        """Yield the faults of a job, its clusters and its tasks."""
        where = YamlLocation(self.bundle, name)
        yield from _start_faults(job, where)
        clusters = job.get("job_clusters") or []
        for number, each in enumerate(clusters):
            place = where.at(f"job_clusters[{number}].new_cluster")
            if isinstance(each.get("new_cluster"), dict):  # not a variable without a value
                yield from validate_cluster(each["new_cluster"], place.origin, self.nodes)
        keys = [str(each.get("job_cluster_key")) for each in clusters]
        tasks = job.get("tasks") or []
        yield from _dependency_faults(tasks, where)
        for number, task in enumerate(tasks):
            yield from self.task(task, where.at(f"tasks[{number}]"), keys, job)

    def task(self, task: Tree, where: YamlLocation, clusters: list[str], job: Tree) -> Iterator[str]:
        """Yield the faults of a task, including those of the task within a for_each_task."""
        kinds = [key for key in task if key.endswith("_task")]
        if len(kinds) != 1:
            said = f"has two types, {' and '.join(kinds)}. Make two tasks of it" if kinds else "has no type"
            yield f"{where} ({task.get('task_key')}) {said}."
        key = task.get("job_cluster_key")
        if key is not None and key not in clusters:
            yield f"{where}.job_cluster_key = {key}, and the job has no such cluster. {_suggest(key, clusters)}"
        if "new_cluster" in task:
            yield from validate_cluster(task["new_cluster"], where.at("new_cluster").origin, self.nodes)
        if "for_each_task" in task:
            yield from self.task(task["for_each_task"]["task"], where.at("for_each_task.task"), clusters, job)
        if "spark_python_task" in task:
            if not any(each in task for each in COMPUTE):
                yield f"{where} ({task.get('task_key')}) has nothing to run on. Give it a job_cluster_key."
            yield from self._python_faults(task["spark_python_task"], where.at("spark_python_task"), job)

    def _python_faults(self, python: Tree, where: YamlLocation, job: Tree) -> Iterator[str]:
        given = python.get("parameters") or []
        parameters = [str(each) for each in given] if isinstance(given, list) else []
        names = [str(each.get("name")) for each in job.get("parameters") or []]
        for number, parameter in enumerate(parameters):
            for name in re.findall(r"\{\{\s*job\.parameters\.([\w-]+)\s*\}\}", parameter):
                if name not in names:
                    place = f"{where}.parameters[{number}] = {parameter}"
                    yield f"{place}: the job has no parameter {name}. {_suggest(name, names)}"
        file = str(python.get("python_file", ""))
        if not is_local(file):
            return
        path = (where.folder / file).resolve()
        if not path.is_file():
            there = sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
            yield f"{where}.python_file = {file}: there is no such file. {_suggest(path.name, there)}"
            return
        if not any(path.is_relative_to(folder) for folder in sync_folders(self.bundle.root, self.tree)):
            yield f"{where}.python_file = {file} would not be uploaded. Add its folder to sync.paths in {BUNDLE_FILE}."
        if command := re.search(r"main\(\[\"(\w+)\"", path.read_text(encoding="utf-8")):
            said = self.check_parameters(command[1], parameters)
            yield from (f"{where.at('parameters').origin}, for {path.name}: {fault}" for fault in said)


def validate_bundle(bundle: Bundle, ask: CheckParameters) -> list[str]:
    """Return all faults of a bundle as sentences; `ask(command, parameters)` returns the faults of parameters."""
    found = list(_undeclared_faults(bundle))
    nodes = node_types(bundle.root)
    for target in bundle.targets:
        tree, circles = resolve_target(bundle, target)
        found += [*circles, *_target_faults(target, bundle.tree["targets"][target] or {}, tree)]
        checker = BundleValidator(bundle, tree, nodes, ask)
        for name, job in ((tree.get("resources") or {}).get("jobs") or {}).items():
            found += checker.job(name, job)
    return list(dict.fromkeys(found))


def _undeclared_faults(bundle: Bundle) -> Iterator[str]:
    declared = list(bundle.tree.get("variables") or {})
    for path, value in iter_leaves(bundle.tree):
        for name in re.findall(r"\$\{var\.([\w-]+)", str(value)):
            if name not in declared:
                job = re.match(r"resources\.jobs\.([^.\[]+)", path)
                file = bundle.file_of(job[1]) if job else Path(BUNDLE_FILE)
                hint = _suggest(name, declared)
                yield f"{file.as_posix()}: {path} = {value} uses a variable {name} that is not declared. {hint}"


def _target_faults(target: str, own: Tree, tree: Tree) -> Iterator[str]:
    where = f"{BUNDLE_FILE}: targets.{target}"
    if own.get("mode") not in ("development", "production"):
        yield f"{where}.mode = {own.get('mode')}. Give it mode: development or mode: production."
    if own.get("mode") != "production":
        return
    if not (own.get("workspace") or {}).get("root_path"):
        yield (
            f"{where}.workspace.root_path is not set, and mode is production: each who deploys would make a copy. "
            "Set it, such as /Workspace/Users/${var.service_principal}/.bundle/${bundle.name}/${bundle.target}."
        )
    if not (tree.get("run_as") or {}).get("service_principal_name"):
        who = f" = {tree['run_as']}" if tree.get("run_as") else " is not set"
        yield f"{where}.run_as{who}, and mode is production. Name a service principal: run_as.service_principal_name."


def _start_faults(job: Tree, where: YamlLocation) -> Iterator[str]:
    starts = [each for each in TRIGGERS if each in job]
    if len(starts) > 1:
        yield f"{where} has {' and '.join(starts)}, and a job has one. Make a second job of it, as on_arrival is."
    schedule = job.get("schedule") or {}
    line, zone = str(schedule.get("quartz_cron_expression", "")), str(schedule.get("timezone_id", ""))
    if schedule and "${" not in line:
        for fault in validate_cron(line):
            yield f"{where.at('schedule.quartz_cron_expression').origin} = {line!r}: {fault}."
    if schedule and "${" not in zone and zone not in available_timezones():
        hint = _suggest(zone, sorted(available_timezones()), shown=0)
        place = where.at("schedule.timezone_id").origin
        yield f"{place} = {zone!r} is no time zone. {hint or 'Give one such as UTC.'}"


def _dependency_faults(tasks: list[Tree], where: YamlLocation) -> Iterator[str]:
    waits = {
        str(task.get("task_key")): [str(each["task_key"]) for each in task.get("depends_on") or []] for task in tasks
    }
    for number, (key, before) in enumerate(waits.items()):
        for name in before:
            if name not in waits:
                place = f"{where}.tasks[{number}] ({key})"
                yield f"{place} depends_on {name}, and there is no such task. {_suggest(name, waits)}"
    done: set[str] = set()
    while ready := {key for key, before in waits.items() if key not in done and not (set(before) & set(waits)) - done}:
        done |= ready
    if circle := [key for key in waits if key not in done]:
        yield f"{where}.tasks wait for one another: {', '.join(circle)}. Take a depends_on away from one of them."


def _suggest(name: str, known: Sequence[str] | Mapping[str, Any], shown: int = 12) -> str:
    """Return a hint for an unknown name: the closest known one, or the first `shown` known ones."""
    if near := get_close_matches(name, list(known), n=1):
        return f"Did you mean {near[0]}?"
    return f"Known: {', '.join(list(known)[:shown]) or 'none'}." if shown else ""
