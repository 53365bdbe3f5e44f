"""Features of one backbone, and the concatenated features of several."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pipelines.feature_ids import backbone_names, flipped_id, split_ids
from pipelines.schemas import FEATURES, parse_ddl
from pipelines.workspace.features import read_features
from pipelines.workspace.tables import Tables

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
A, B = "a@1/squash2", "b@2/squash3-mean0.5,0.5,0.5"
ROWS = [  # content_hash, backbone, features, failure, minutes after noon
    ("whole", A, [1.0, 2.0], None, 0),
    ("whole", B, [3.0], None, 9),
    ("half", A, [4.0, 5.0], None, 0),
    ("cut", A, None, "truncated", 1),
    ("cut", B, None, "truncated", 2),
    ("large", A, [6.0, 7.0], None, 8),
    ("large", B, None, "too_large", 3),
    ("whole", "c@3/squash2", [9.0], None, 0),
    ("whole", f"{A}/flipped", [2.0, 1.0], None, 9),
    ("half", f"{A}/flipped", [5.0, 4.0], None, 9),
    ("cut", f"{A}/flipped", None, "truncated", 9),
    ("whole", f"{B}/flipped", [-3.0], None, 9),
]


@pytest.fixture
def filled(tables: Tables) -> Tables:
    names = ("content_hash", "backbone", "features", "failure", "featurized_at", "failure_detail", "fallback")
    kinds = parse_ddl(FEATURES)
    given = [(*row[:-1], NOON + timedelta(minutes=row[-1]), f"{row[1][0]}: {row[3]}", None) for row in ROWS]
    schema = ", ".join(f"{name} {kinds[name]}" for name in names)
    tables.append("features", tables.spark.createDataFrame(given, schema))
    return tables


def found(tables: Tables, backbone: str) -> dict[str, tuple[Any, ...]]:
    rows = read_features(tables, backbone).collect()
    by_hash = {row["content_hash"]: row for row in rows}
    assert len(rows) == len(by_hash)
    zone = NOON.astimezone()  # Spark gives local times without their zone
    minute = {key: (row["featurized_at"].astimezone() - zone) // timedelta(minutes=1) for key, row in by_hash.items()}
    return {key: (row["features"], row["failure"], minute[key]) for key, row in by_hash.items()}


def test_of_one_backbone_the_rows_are_those_of_the_table_and_nothing_is_joined(filled: Tables) -> None:
    assert found(filled, B) == {
        "whole": ([3.0], None, 9),
        "cut": (None, "truncated", 2),
        "large": (None, "too_large", 3),
    }
    plan = read_features(filled, B)._jdf.queryExecution().optimizedPlan().toString()
    assert "Join" not in plan and "Aggregate" not in plan and "Window" not in plan


def test_side_by_side_stand_the_arrays_of_the_parts_in_the_order_given_where_all_have_one(filled: Tables) -> None:
    failed = {"cut": (None, "truncated", 1), "large": (None, "too_large", 3)}
    assert found(filled, f"{A}+{B}") == {"whole": ([1.0, 2.0, 3.0], None, 9), **failed}
    assert found(filled, f"{B}+{A}") == {"whole": ([3.0, 1.0, 2.0], None, 9), **failed}
    assert found(filled, f"{B}+{A}+c@3/squash2") == {"whole": ([3.0, 1.0, 2.0, 9.0], None, 9)}
    assert found(filled, f"{A}+d@4/squash2") == {}
    details = {row["content_hash"]: row["failure_detail"] for row in read_features(filled, f"{A}+{B}").collect()}
    assert details == {"whole": None, "cut": "a: truncated", "large": "b: too_large"}


def test_flipped_features_are_in_a_column_of_their_own_null_where_there_are_none(filled: Tables) -> None:
    def pairs(backbone: str) -> dict[str, tuple[Any, Any]]:
        rows = read_features(filled, backbone, flipped=True)
        assert rows.columns == [*read_features(filled, backbone).columns, "flipped"]
        return {row["content_hash"]: (row["features"], row["flipped"]) for row in rows.collect()}

    assert pairs(A) == {
        "whole": ([1.0, 2.0], [2.0, 1.0]),
        "half": ([4.0, 5.0], [5.0, 4.0]),
        "cut": (None, None),
        "large": ([6.0, 7.0], None),
    }
    failed = {"cut": (None, None), "large": (None, None)}
    assert pairs(f"{A}+{B}") == {"whole": ([1.0, 2.0, 3.0], [2.0, 1.0, -3.0]), **failed}
    assert flipped_id(f"{A}+{B}") == f"{A}/flipped+{B}/flipped"


def test_a_joined_identity_comes_apart_into_identities_and_names() -> None:
    assert split_ids(f"{A}+{B}") == [A, B] and split_ids(A) == [A]
    assert backbone_names(f"{A}+{B}") == "a+b" and backbone_names(A) == "a"
