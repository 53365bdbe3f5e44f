"""Load the settings: conf/base.yaml < conf/ENV.yaml < environment variables < command line.

`load_settings` refuses unknown keys and wrong types, all at once, each with its source and the nearest known
key. All defaults are in conf/base.yaml; types and limits are in settings.py.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipelines.config.former_names import FORMER_NAMES
from pipelines.config.section import SettingsSection
from pipelines.config.settings import ENV_PREFIX, Settings
from pipelines.config.types import parse_mapping
from pipelines.errors import SettingsError
from pipelines.redaction import redact
from pipelines.resources import resource_dir

# Settings whose items --set can name: KEY.NAME=VALUE.
MAPPINGS = ("spark.conf", "sources.columns", "export.columns", "detect.categories")
RESERVED_VARIABLES = {"IRBIS_ENV", "IRBIS_SERVE_FOLDERS", "IRBIS_SERVE_URLS"}  # of a served model: its operator's


@dataclass(frozen=True)
class SourcedValue:
    """A value and its source: a file, an environment variable or an option."""

    value: Any
    source: str


def load_settings(env: str | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the effective settings; raise SettingsError with all faults.

    `env` is the name of a file in conf/ or a path to a YAML file; `overrides` maps dotted keys to values, or to
    SourcedValues that name the option.
    """
    return build_settings(load_sourced_values(env, overrides))


def load_sourced_values(env: str | None = None, overrides: Mapping[str, Any] | None = None) -> dict[str, SourcedValue]:
    """Return dotted key -> value and source, later sources overriding earlier ones. Validates nothing yet."""
    env = env or os.environ.get("IRBIS_ENV")
    origins: dict[str, SourcedValue] = {}
    for path in [conf_dir() / "base.yaml"] + ([_env_file(env)] if env else []):
        origins |= {key: SourcedValue(value, _display_path(path)) for key, value in flatten(read_yaml(path))}
    origins |= {key: SourcedValue(value, f"environment variable {name}") for name, key, value in _environment_values()}
    for key, given in (overrides or {}).items():
        value, source = (given.value, given.source) if isinstance(given, SourcedValue) else (given, "--set")
        mapping = next((name for name in MAPPINGS if key.startswith(f"{name}.")), None)
        if mapping:  # Spark's own names have dots too
            key, value = mapping, _add_item(origins[mapping].value, key[len(mapping) + 1 :], value)
        origins[key] = SourcedValue(None if value == "null" else value, source)
    return origins


def conf_dir() -> Path:
    """Return the folder conf/ of the package or the checkout."""
    return resource_dir("conf")


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """List every setting by its dotted key."""
    keys = []
    for name, field in model.model_fields.items():
        key, kind = prefix + (field.alias or name), field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, SettingsSection)
        keys += setting_keys(kind, f"{key}.") if is_section else [key]  # type: ignore[arg-type]
    return keys


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested settings with their dotted keys; a free-form mapping is one leaf."""
    known = set(setting_keys())
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key not in known:
            yield from flatten(value, f"{key}.")
        elif value is not None or key in known:  # a section whose lines are all commented out is None
            yield key, value


def overlay_settings(lower: Mapping[str, SourcedValue], upper: Mapping[str, SourcedValue]) -> dict[str, SourcedValue]:
    """Merge two sets of sourced values, `upper` overriding `lower`; mappings are merged item by item."""
    found = {**lower, **upper}
    for key in MAPPINGS:
        if key in lower and key in upper:
            try:
                below, above = parse_mapping(lower[key].value), parse_mapping(upper[key].value)
            except ValueError:  # reported by build_settings
                continue
            if isinstance(below, Mapping) and isinstance(above, Mapping):
                found[key] = SourcedValue({**below, **above}, upper[key].source)
    return found


def _environment_values() -> list[tuple[str, str, Any]]:
    """Return (name, key, text) of every IRBIS_* variable; the texts are read like those of --set."""
    known = {ENV_PREFIX + key.replace(".", "__").upper(): key for key in setting_keys()}
    found = []
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in RESERVED_VARIABLES:
            key = known.get(name.upper(), name[len(ENV_PREFIX) :].lower().replace("__", "."))
            value = os.environ[name]
            found.append((name, key, None if value == "null" else value))
    return found


def _add_item(before: Any, name: str, value: Any) -> Any:
    """Add an item to a mapping; return anything else unchanged, which build_settings reports."""
    try:
        before = parse_mapping(before)
    except ValueError:
        return before
    return {**before, name: value} if isinstance(before, Mapping) else before


def _env_file(env: str) -> Path:
    path = Path(env) if env.endswith((".yaml", ".yml")) else conf_dir() / f"{env}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in conf_dir().glob("*.yaml") if p.stem != "base"))
        raise SettingsError(
            f"--env {env}: there is no {_display_path(path)}. Known: {names}, or give a path to a .yaml file."
        )
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML. Raises SettingsError with the line of an error, such as a duplicate key."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys) or {}
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        # Without its text, which may be a secret: YAML repeats an unquoted value such as *word or !word.
        problem = re.sub(
            r"(alias|tag|handle) '.*'", r"\1; put a value that begins with & * or ! in quotes", str(error.problem)
        )
        raise SettingsError(f"{_display_path(path)}{line} is not valid YAML for settings: {problem}.") from error
    except (yaml.YAMLError, OSError, ValueError) as error:  # of what looks like a date, or is no UTF-8
        raise SettingsError(f"{_display_path(path)} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{_display_path(path)} must hold settings by name, not a {type(tree).__name__}.")
    return tree


class _UniqueKeys(yaml.SafeLoader):
    """Loader that rejects duplicate keys; in plain YAML the last one wins, which would drop settings silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for name, _ in node.value:
            if name.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"duplicate key '{name.value}'", name.start_mark)
            seen.add(name.value)
        return super().construct_mapping(node, deep)


def _display_path(path: Path) -> str:
    return f"conf/{path.name}" if path.parent == conf_dir() else str(path)


def build_settings(origins: Mapping[str, SourcedValue]) -> Settings:
    """Validate sourced values and return the settings; raise SettingsError with all faults."""
    known = setting_keys()
    faults = [_unknown_key_fault(key, origin, known) for key, origin in origins.items() if key not in known]
    tree: dict[str, Any] = {}
    for key in known:
        if key in origins:
            section, _, name = key.rpartition(".")
            (tree.setdefault(section, {}) if section else tree)[name] = origins[key].value
    try:
        settings = Settings(**tree)
    except ValidationError as error:
        faults += [_invalid_value_fault(fault, origins) for fault in error.errors()]
    if faults:
        raise SettingsError(dict.fromkeys(faults))
    return settings


def _unknown_key_fault(key: str, origin: SourcedValue, known: list[str]) -> str:
    near = [FORMER_NAMES[key]] if key in FORMER_NAMES else difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    near = near or [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    below = [name for name in known if name.startswith(f"{key}.")]
    if below:
        return f"{origin.source}: '{key}' is a section, not a setting. Set what is in it, such as '{below[0]}'."
    hint = f"Did you mean '{near[0]}'?" if near else "`irbis config` lists the known ones."
    return f"{origin.source} has an unknown key '{key}'. {hint}"


def _invalid_value_fault(fault: Any, origins: Mapping[str, SourcedValue]) -> str:
    names = [str(part) for part in fault["loc"]]
    key = next((k for n in (2, 1) if (k := ".".join(names[:n])) in origins), ".".join(names))
    if key not in origins:
        return f"conf/base.yaml lacks '{key}'."
    origin, reason = origins[key], fault["msg"].removeprefix("Value error, ")
    return (
        f"{origin.source}: {key} = {redact({key: origin.value})[key]!r} is refused: {reason[:1].lower()}{reason[1:]}."
    )
