"""Validate a Camtrap DP package by the official schemas: by frictionless and jsonschema, and a large one by Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

TABLES = ("deployments", "media", "observations")
REMOTE = {
    "https://specs.frictionlessdata.io/schemas/data-package.json": "data-package-v1.json",
    "http://json.schemastore.org/geojson.json": "geojson.json",
}
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:?\d\d)$"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_schema(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text("utf-8"))


def validate(package: Path, schemas: Path) -> list[str]:
    """Return the errors and warnings of jsonschema and frictionless. Skips the test if they are not installed."""
    frictionless = pytest.importorskip("frictionless", "5.17")
    jsonschema = pytest.importorskip("jsonschema")
    from referencing import Registry
    from referencing.jsonschema import DRAFT7

    descriptor = json.loads((package / "datapackage.json").read_text("utf-8"))
    known = {url: DRAFT7.create_resource(read_schema(schemas, name)) for url, name in REMOTE.items()}
    profile = jsonschema.Draft7Validator(
        read_schema(schemas, "camtrap-dp-profile.json"),
        registry=Registry().with_resources(known.items()),
        format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER,
    )
    faults = [f"{error.json_path}: {error.message}" for error in profile.iter_errors(descriptor)]
    descriptor.pop("profile")  # it and the schemas would be downloaded
    for resource in descriptor["resources"]:
        resource["schema"] = read_schema(schemas, resource["schema"].rpartition("/")[2])
    report = frictionless.Package.from_descriptor(descriptor, basepath=str(package)).validate()
    faults += [f"{task.name}: {error.message}" for task in report.tasks for error in task.errors]
    return faults + [str(warning) for task in (report, *report.tasks) for warning in task.warnings]


def validate_by_spark(spark: SparkSession, package: Path, schemas: Path) -> dict[str, int]:
    """Return how many values break which constraint of the schemas, such as {"media.filePath pattern": 2}."""
    frames = {
        name: spark.read.csv(str(package / f"{name}.csv"), header=True, escape='"', multiLine=False, nullValue="")
        for name in TABLES
    }
    faults: dict[str, int] = {}
    for name, frame in frames.items():
        schema = read_schema(schemas, f"{name}-table-schema.json")
        assert frame.columns == [field["name"] for field in schema["fields"]]
        checks = {
            f"{name}.{field['name']} {rule}": broken for field in schema["fields"] for rule, broken in _rules(field)
        }
        counts = frame.agg(*[F.sum(broken.cast("int")).alias(rule) for rule, broken in checks.items()]).first()
        faults |= {rule: count for rule, count in counts.asDict().items() if count}
        (key,) = [field["name"] for field in schema["fields"] if (field.get("constraints") or {}).get("unique")]
        faults |= _count(f"{name}.{key} unique", frame.groupBy(key).count().where("count > 1"))
        for foreign in schema.get("foreignKeys", []):
            own, other = foreign["fields"], foreign["reference"]
            known = frames[other["resource"]].select(F.col(other["fields"]).alias(own))
            orphans = frame.where(F.col(own).isNotNull()).join(known, own, "left_anti")
            faults |= _count(f"{name}.{own} foreign key", orphans)
    return faults


def _count(rule: str, rows: DataFrame) -> dict[str, int]:
    return {rule: count} if (count := rows.count()) else {}


def _rules(field: dict[str, Any]) -> Iterator[tuple[str, Column]]:
    """Yield the name of each constraint of a field, and a column that is true where a value breaks it."""
    limits = field.get("constraints") or {}
    value = F.when(~F.col(field["name"]).isin("NA", "NaN", "nan"), F.col(field["name"]))
    types = {
        "integer": r"^[+-]?\d+$",
        "number": NUMBER,
        "datetime": TIME,
        "boolean": "^(true|True|TRUE|1|false|False|FALSE|0)$",
    }
    if limits.get("required"):
        yield "required", value.isNull()
    tests = {"type": value.rlike(types[field["type"]])} if field["type"] in types else {}
    if "enum" in limits:
        tests["enum"] = value.isin(limits["enum"])
    if "pattern" in limits:
        tests["pattern"] = value.rlike(f"^{limits['pattern']}$")
    if "minimum" in limits:
        tests["minimum"] = value.cast("double") >= limits["minimum"]
    if "maximum" in limits:
        tests["maximum"] = value.cast("double") <= limits["maximum"]
    for rule, holds in tests.items():
        yield rule, reduce(Column.__and__, [value.isNotNull(), ~F.coalesce(holds, F.lit(False))])
