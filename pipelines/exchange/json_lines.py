"""What the JSON formats share: names of labels, counts of images, and lines of JSON made on the executors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.config.settings import ExportSettings, LabelMeaning
from pipelines.exchange.observation_types import UNKNOWN, find_meaning
from pipelines.exchange.rows import exported_label

PEOPLE = "images of people"
KIND = "export_kind"


@dataclass(frozen=True)
class LabelNames:
    """Labels and predictions in the data, in alphabetical order, their types, and the model that predicted."""

    names: tuple[str, ...]  # also all classes of the model
    types: Mapping[str, str]
    model: str  # such as `irbis fox v3`; `irbis` if nothing was predicted

    def of_type(self, *types: str) -> list[str]:
        return [name for name in self.names if self.types[name] in types]


def exported_name() -> Column:
    """Return the label in force, `unknown` if a person cannot tell, else the prediction; null if there is none."""
    return F.coalesce(exported_label(), F.when(F.col("is_unknown"), UNKNOWN))


def find_names(rows: DataFrame, meanings: Mapping[str, LabelMeaning]) -> LabelNames:
    """Return the names in the rows. Each combination of names is collected once, in one pass."""
    classes = F.map_keys("probabilities").alias("classes")
    found = rows.select(exported_name().alias("name"), "prediction", classes, "model_name", "model_version").distinct()
    names: set[str] = set()
    models: set[str] = set()
    for row in found.collect():
        names.update(name for name in (row["name"], row["prediction"], *(row["classes"] or ())) if name)
        if row["model_name"]:
            models.add(f"irbis {row['model_name']} v{row['model_version']}")
    types = {name: find_meaning(name, meanings)[0] for name in names}
    return LabelNames(tuple(sorted(names)), types, max(models, default="irbis"))


def select_exported(
    rows: DataFrame,
    settings: ExportSettings,
    labels: LabelNames,
    kinds: Mapping[str, Column],
    people: Column | None = None,
) -> DataFrame:
    """Add `export_kind`, the first of `kinds` whose condition holds; images of people first, if they are left out.

    `people`: which images without a label and a prediction are of people.
    """
    kind = F.lit(None).cast("string")
    for name, condition in reversed(list(kinds.items())):
        kind = F.when(condition, F.lit(name)).otherwise(kind)
    if settings.leave_out_people:
        is_person = exported_name().isin(labels.of_type("human"))
        if people is not None:  # null is in no list, or in an unknown one: that depends on Spark's version
            is_person = F.when(exported_name().isNotNull(), is_person).otherwise(people)
        kind = F.when(is_person, F.lit(PEOPLE)).otherwise(kind)
    return rows.withColumn(KIND, kind)


def count_kinds(rows: DataFrame) -> Counter[str]:
    """Return the number of rows of each kind."""
    return Counter({row[KIND]: row["count"] for row in rows.groupBy(KIND).count().collect()})


def to_lines(rows: DataFrame, format_row: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> DataFrame:
    """Return a column `line`: the JSON of each row, made on the executors."""

    def format_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            lines = [dump(format_row(row)) for row in batch.to_pylist()]
            yield pa.RecordBatch.from_arrays([pa.array(lines, pa.string())], names=["line"])

    return rows.mapInArrow(format_batches, "line string")


def dump(value: Mapping[str, Any]) -> str:
    """Return JSON without spaces, and text as it is. Raises ValueError for numbers that JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def open_object(members: Mapping[str, Any], array: str) -> str:
    """Return the beginning of a JSON object with some members and an array, up to its first element."""
    return json.dumps(members, ensure_ascii=False, indent=1)[:-2] + f',\n "{array}": [\n'
