"""Render the Databricks bundle as it would be deployed: resolve includes, target, variables and paths offline.

The order is that of the Databricks CLI: merge includes and the target into databricks.yml, resolve variables, apply
the target's presets, translate paths. Values that only a workspace has stay as `${...}`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import __version__
from pipelines.config.loader import read_yaml
from pipelines.databricks.references import Resolver
from pipelines.errors import SettingsError
from pipelines.resources import resource_dir

Tree = dict[str, Any]
BUNDLE_FILE = "databricks.yml"
ENDPOINTS = "model_serving_endpoints"
LIST_KEYS = {"tasks": "task_key", "job_clusters": "job_cluster_key", "parameters": "name"}  # lists merged by a key
TARGET_KEYS = ("default", "mode", "variables")  # of a target: not merged into the bundle


@dataclass(frozen=True)
class Bundle:
    """A parsed bundle: the merged tree of its files, and the file that defines each job."""

    root: Path
    tree: Tree
    files: Mapping[str, str]

    @property
    def targets(self) -> list[str]:
        return list(self.tree.get("targets") or {})

    def file_of(self, job: str) -> Path:
        """Return the file that defines a job, relative to the bundle's folder."""
        return Path(self.files.get(job, BUNDLE_FILE))


def bundle_folder() -> Path:
    """Return the packaged bundle; unpacks jobs/ as well, which it refers to by relative paths."""
    resource_dir("jobs")
    return resource_dir("deploy/databricks")


def read_bundle(folder: Path | None = None) -> Bundle:
    """Read databricks.yml and the files it includes. Raises SettingsError if one is missing or not YAML."""
    root = folder or bundle_folder()
    if not (root / BUNDLE_FILE).is_file():
        raise SettingsError(
            f"There is no {root / BUNDLE_FILE}. Give the folder of a bundle, such as deploy/databricks."
        )
    tree = read_yaml(root / BUNDLE_FILE)
    files = dict.fromkeys(_jobs_of(tree), BUNDLE_FILE)
    for pattern in tree.get("include") or []:
        found = sorted(root.glob(pattern))
        if not found:
            raise SettingsError(f"{BUNDLE_FILE}: include: no file matches {pattern}. Name one that there is.")
        for path in found:
            part = read_yaml(path)
            files |= dict.fromkeys(_jobs_of(part), str(path.relative_to(root)))
            tree = deep_merge(tree, part)
    return Bundle(root, tree, files)


def _jobs_of(tree: Tree) -> Tree:
    return (tree.get("resources") or {}).get("jobs") or {}


def _endpoints_of(tree: Tree) -> Tree:
    return (tree.get("resources") or {}).get(ENDPOINTS) or {}


def deep_merge(base: Any, more: Any) -> Any:
    """Merge two trees: mappings by key, lists concatenated, otherwise the second value."""
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{key: deep_merge(base[key], value) if key in base else value for key, value in more.items()}}
    return base + more if isinstance(base, list) and isinstance(more, list) else more


def resolve_target(
    bundle: Bundle, target: str, variables: Mapping[str, Any] | None = None, user: str | None = None
) -> Tree:
    """Return the tree of one target with its variables resolved."""
    if target not in bundle.targets:
        raise SettingsError(f"The bundle has no target {target}. Known: {', '.join(bundle.targets)}.")
    chosen = bundle.tree["targets"][target] or {}
    tree = {key: value for key, value in bundle.tree.items() if key not in ("targets", "include")}
    tree = deep_merge(tree, {key: value for key, value in chosen.items() if key not in TARGET_KEYS})
    tree["bundle"] = {**(tree.get("bundle") or {}), "target": target, "mode": chosen.get("mode")}
    tree["workspace"] = _workspace(tree, user)
    resolver = Resolver(tree, _variable_values(tree, chosen, variables or {}))
    tree = {key: value if key == "variables" else resolver.resolve(value) for key, value in tree.items()}
    for job in _jobs_of(tree).values():
        job |= {
            name: _merge_by_key(job[name], key) for name, key in LIST_KEYS.items() if isinstance(job.get(name), list)
        }
    return tree


def _variable_values(tree: Tree, chosen: Tree, given: Mapping[str, Any]) -> Tree:
    """Return the values of variables, by precedence: arguments, environment, target, default."""
    known = tree.get("variables") or {}
    if unknown := sorted({*given, *(chosen.get("variables") or {})} - set(known)):
        raise SettingsError(f"{BUNDLE_FILE}: variables: there is no {', '.join(unknown)}. Known: {', '.join(known)}.")
    values = {name: about["default"] for name, about in known.items() if "default" in (about or {})}
    for name, value in (chosen.get("variables") or {}).items():
        values[name] = value["default"] if isinstance(value, dict) and "default" in value else value
    outside = {name: os.environ[f"BUNDLE_VAR_{name}"] for name in known if f"BUNDLE_VAR_{name}" in os.environ}
    for name, value in {**outside, **given}.items():  # which come as text
        is_number = isinstance((known[name] or {}).get("default"), int) and str(value).isdigit()
        values[name] = int(value) if is_number else value
    return values


def _workspace(tree: Tree, user: str | None) -> Tree:
    """Return the workspace's paths, with the CLI's defaults for those the bundle does not set."""
    found = dict(tree.get("workspace") or {})
    short = re.sub(r"[^a-zA-Z0-9]", "_", user.partition("@")[0]) if user else None
    found["current_user"] = {"userName": user, "short_name": short} if user else {}
    home = "/Workspace/Users/${workspace.current_user.userName}"
    root = str(found.get("root_path") or "~/.bundle/${bundle.name}/${bundle.target}")
    found["root_path"] = root.replace("~", home, 1) if root.startswith("~/") else root
    for part in ("file", "artifact", "state"):
        folder = {"file": "files", "artifact": "artifacts", "state": "state"}[part]
        found.setdefault(f"{part}_path", f"${{workspace.root_path}}/{folder}")
    return found


def _merge_by_key(items: list[Any], key: str) -> list[Any]:
    """Merge the items with the same key, at the position of the first."""
    found: dict[Any, Any] = {}
    for number, item in enumerate(items):
        name = item.get(key, number) if isinstance(item, dict) else number
        found[name] = deep_merge(found[name], item) if name in found else item
    return list(found.values())


def render(
    target: str,
    variables: Mapping[str, Any] | None = None,
    *,
    user: str | None = None,
    folder: Path | None = None,
) -> Tree:
    """Return the bundle as it would be deployed to a target: merged, resolved and with absolute paths."""
    bundle = read_bundle(folder)
    tree = resolve_target(bundle, target, variables, user)
    rendered = {
        "jobs": {name: _add_deployment_fields(job, tree, bundle, name) for name, job in _jobs_of(tree).items()},
        ENDPOINTS: {name: _add_prefix(endpoint, tree) for name, endpoint in _endpoints_of(tree).items()},
    }
    return {**tree, "resources": {**tree.get("resources", {}), **rendered}}


def render_resources(
    target: str,
    variables: Mapping[str, Any] | None = None,
    *,
    user: str | None = None,
    folder: Path | None = None,
) -> dict[str, Tree]:
    """Return the settings of each job and of each serving endpoint as accepted by their APIs."""
    resources = render(target, variables, user=user, folder=folder)["resources"]
    return {**resources["jobs"], **resources[ENDPOINTS]}


def _add_deployment_fields(job: Tree, tree: Tree, bundle: Bundle, name: str) -> Tree:
    """Add the fields that the CLI adds to a job: presets of the target, deployment, run_as, absolute paths."""
    workspace, presets = tree["workspace"], _presets(tree)
    found = {key: value for key, value in job.items() if key != "permissions"}  # which are granted by another call
    found["name"] = f"{presets.get('name_prefix', '')}{job.get('name', name)}"
    if tags := {**presets.get("tags", {}), **job.get("tags", {})}:
        found["tags"] = tags
    found.setdefault("max_concurrent_runs", presets.get("jobs_max_concurrent_runs", 1))
    found.setdefault("queue", {"enabled": True})
    for kind in ("schedule", "trigger", "continuous"):
        if kind in found:
            found[kind] = {"pause_status": presets.get("trigger_pause_status", "UNPAUSED"), **found[kind]}
    if "run_as" in tree:
        found.setdefault("run_as", tree["run_as"])
    folder = bundle.root / bundle.file_of(name).parent
    found["tasks"] = [_resolve_paths(task, tree, bundle, folder) for task in job.get("tasks") or []]
    metadata = f"{workspace['state_path']}/metadata.json"
    found["deployment"] = {"kind": "BUNDLE", "metadata_file_path": metadata}
    return {**found, "edit_mode": "UI_LOCKED", "format": "MULTI_TASK"}


def _add_prefix(endpoint: Tree, tree: Tree) -> Tree:
    """Return a serving endpoint with the target's prefix, in the characters that its name may have."""
    prefix = re.sub(r"[\[\] ]+", "_", _presets(tree).get("name_prefix", "")).strip("_")
    name = f"{prefix}_{endpoint['name']}" if prefix else endpoint["name"]
    return {**{key: value for key, value in endpoint.items() if key != "permissions"}, "name": name}


def _presets(tree: Tree) -> Tree:
    """Return the target's presets, with the defaults of mode development."""
    presets = dict(tree.get("presets") or {})
    if tree["bundle"]["mode"] != "development":
        return presets
    short = tree["workspace"]["current_user"].get("short_name") or "${workspace.current_user.short_name}"
    own = {"name_prefix": f"[dev {short}] ", "jobs_max_concurrent_runs": 4, "trigger_pause_status": "PAUSED"}
    return {**own, **presets, "tags": {"dev": short, **presets.get("tags", {})}}


def _resolve_paths(task: Tree, tree: Tree, bundle: Bundle, folder: Path) -> Tree:
    found = dict(task)
    if "for_each_task" in task:
        inner = _resolve_paths(task["for_each_task"]["task"], tree, bundle, folder)
        found["for_each_task"] = {**task["for_each_task"], "task": inner}
    for kind, key in (("spark_python_task", "python_file"), ("notebook_task", "notebook_path")):
        path = (task.get(kind) or {}).get(key)
        if isinstance(path, str) and is_local(path):
            below = Path(os.path.relpath(folder / path, sync_root(bundle.root, tree))).as_posix()
            below = below if kind == "spark_python_task" else str(Path(below).with_suffix(""))
            found[kind] = {**task[kind], key: f"{tree['workspace']['file_path']}/{below}"}
    if "libraries" in task:
        found["libraries"] = [_resolve_library(each, tree["workspace"]) for each in task["libraries"]]
    return found


def _resolve_library(library: Tree, workspace: Tree) -> Tree:
    """Return a library with its path in the workspace; a pattern becomes the wheel of this version."""
    wheel = library.get("whl")
    if not isinstance(wheel, str) or not is_local(wheel):
        return library
    name = f"irbis-{__version__}-py3-none-any.whl" if "*" in wheel else Path(wheel).name
    return {**library, "whl": f"{workspace['artifact_path']}/.internal/{name}"}


def is_local(path: str) -> bool:
    """Return whether a path is relative to the bundle's files, rather than in the workspace or a store."""
    return not path.startswith("/") and "://" not in path and not path.startswith(("dbfs:", "${"))


def sync_root(root: Path, tree: Tree) -> Path:
    """Return the root of the synced files: the common parent of the bundle and its sync paths."""
    folders = [(root / path).resolve() for path in (tree.get("sync") or {}).get("paths") or ["."]]
    return Path(os.path.commonpath([root.resolve(), *folders]))
