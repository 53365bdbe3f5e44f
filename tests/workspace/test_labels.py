"""Decisions of people: which label is in force, and which groups are never tested on."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluation.split import conflicting_labels, find_split, labelled_images
from pipelines.schemas import IMAGES, Decision, parse_ddl
from pipelines.workspace.labels import (
    append_decisions,
    decisions_since,
    effective_images,
    model_chosen_groups,
    with_split,
)
from pipelines.workspace.tables import Tables

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
NAMES = ("path", "content_hash", "label", "group_id")


def add_images(tables: Tables, *rows: tuple[str | None, ...], minutes: int = 0) -> None:
    """Append rows of path, content_hash, label, group_id."""
    schema = ", ".join(f"{name} {kind}" for name, kind in parse_ddl(IMAGES).items())
    known = [dict(zip(NAMES, row, strict=False)) | {"ingested_at": NOON + timedelta(minutes=minutes)} for row in rows]
    whole = [tuple(row.get(name) for name in parse_ddl(IMAGES)) for row in known]
    tables.append("images", tables.spark.createDataFrame(whole, schema))


def decision(number: int, content: str, label: str | None, action: str = "correct", **values: Any) -> Decision:
    at = values.pop("reviewed_at", NOON + timedelta(minutes=number))
    return Decision(f"id{number}", content, f"{content}.jpg", label, action, reviewed_at=at, **values)


def in_force(tables: Tables, **options: str) -> dict[str, tuple[str | None, str | None]]:
    rows = effective_images(tables, **options).collect()
    return {row["path"]: (row["label"], row["label_source"]) for row in rows}


def test_the_newest_decision_of_a_person_comes_before_the_label_of_the_source(tables):
    paths = ["plain", "corrected", "twice", "cannot_tell", "undone", "undone_once", "skipped", "late", "unlabelled"]
    add_images(tables, *[(name, f"h-{name}", "fox") for name in paths[:-1]], ("unlabelled", "h-unlabelled", None))
    assert in_force(tables) == dict.fromkeys(paths[:-1], ("fox", "source")) | {"unlabelled": (None, None)}
    append_decisions(
        tables,
        [
            decision(1, "h-corrected", "lynx", reviewer="ann"),
            decision(2, "h-twice", "lynx", reviewer="ann"),
            decision(3, "h-twice", "wolf", reviewer="bob"),
            decision(4, "h-cannot_tell", None, "unknown"),
            decision(5, "h-undone", "lynx"),
            decision(6, "h-undone", None, "undo", undoes="id5"),
            decision(7, "h-undone_once", "lynx"),
            decision(8, "h-undone_once", "wolf"),
            decision(9, "h-undone_once", None, "undo", undoes="id8"),
            decision(10, "h-skipped", None, "skip"),
            decision(11, "h-late", "lynx"),
            decision(12, "h-late", "wolf", reviewed_at=NOON),  # stored later, decided earlier
            decision(13, "h-unlabelled", "hare", "confirm"),
            decision(14, "h-gone", "hare"),
        ],
    )
    assert in_force(tables) == {
        "plain": ("fox", "source"),
        "corrected": ("lynx", "person"),
        "twice": ("wolf", "person"),
        "cannot_tell": (None, "person"),
        "undone": ("fox", "source"),
        "undone_once": ("lynx", "person"),
        "skipped": ("fox", "source"),
        "late": ("lynx", "person"),
        "unlabelled": ("hare", "person"),
    }
    assert effective_images(tables).columns == [*tables.latest_images().columns, "label_source"]


def test_a_decision_resolves_a_conflict_of_identical_bytes(tables):
    add_images(tables, ("a", "h1", "fox"), ("b", "h1", "hare"), ("c", "h2", "fox"), ("d", "h2", "hare"))
    assert labelled_images(effective_images(tables)).count() == 0
    append_decisions(tables, [decision(1, "h1", "hare")])
    current = effective_images(tables)
    assert [row["content_hash"] for row in conflicting_labels(current).collect()] == ["h2"]
    found = [(row["path"], row["label"]) for row in labelled_images(current).collect()]
    assert found == [("a", "hare")]


def test_labels_of_people_have_the_form_of_the_labels_of_the_source(tables):
    add_images(tables, ("a", "h1", "red fox"))
    append_decisions(tables, [decision(1, "h1", " Cafe\u0301\u200b  fox ")])
    assert tables.read("labels").first()["label"] == "Caf\u00e9 fox"
    assert in_force(tables) == {"a": ("Caf\u00e9 fox", "person")}
    assert in_force(tables, label_case="lower") == {"a": ("caf\u00e9 fox", "person")}


def test_a_decision_is_in_the_table_once_and_never_changes(tables):
    first, second = decision(1, "h1", "fox"), decision(2, "h1", "lynx")
    assert append_decisions(tables, []) == 0
    assert append_decisions(tables, [first, first]) == 1
    assert append_decisions(tables, [first._replace(label="wolf"), second]) == 1
    rows = tables.read("labels").orderBy("decision_id").collect()
    assert [(row["decision_id"], row["label"]) for row in rows] == [("id1", "fox"), ("id2", "lynx")]
    with pytest.raises(DataError, match=r"^Decision id4: action = improve is none of .*\nDecision id5: reviewed_at is"):
        append_decisions(
            tables, [decision(3, "h", "fox"), decision(4, "h", "x", "improve"), decision(5, "h", "x", reviewed_at=None)]
        )
    assert tables.read("labels").count() == 2


def test_decisions_since_a_version_of_the_table(tables):
    append_decisions(tables, [decision(1, "h1", "fox"), decision(2, "h2", "fox")])
    version = tables.version("labels")
    append_decisions(tables, [decision(3, "h3", "fox"), decision(4, "h4", "fox", reviewed_at=NOON - timedelta(days=9))])

    def ids(version: int | None) -> list[str]:
        found = decisions_since(tables, version, NOON + timedelta(minutes=1, seconds=30))
        return sorted(row["decision_id"] for row in found.collect())

    assert ids(version) == ["id3", "id4"]
    assert ids(tables.version("labels")) == []
    assert ids(None) == ["id1", "id2", "id3", "id4"]
    assert ids(99) == ["id2", "id3"]  # a version that Delta does not have: by time


def test_tables_of_a_schema(spark, make_settings):
    spark.sql("CREATE DATABASE IF NOT EXISTS irbis_labels")
    named = Tables.of(spark, make_settings({"tables.schema": "irbis_labels"}))
    try:
        add_images(named, ("a", "h1", "fox", "g1"))
        assert append_decisions(named, [decision(1, "h1", "lynx", is_model_chosen=True, group_id="g0")]) == 1
        version = named.version("labels")
        assert append_decisions(named, [decision(1, "h1", "wolf"), decision(2, "h1", "hare")]) == 1
        assert in_force(named) == {"a": ("hare", "person")}
        assert {row[0] for row in model_chosen_groups(named).collect()} == {"g0", "g1"}
        assert [row["decision_id"] for row in decisions_since(named, version, NOON).collect()] == ["id2"]
    finally:
        spark.sql("DROP DATABASE irbis_labels CASCADE")


@dataclass
class Survey:
    """Images and decisions as plain Python, beside the tables: what the split must be."""

    groups: dict[str, str]  # by content hash
    chosen_contents: set[str] = field(default_factory=set)
    chosen_groups: set[str] = field(default_factory=set)

    def expected(self, fractions: list[float], salt: str) -> dict[str, tuple[str, bool]]:
        never = self.chosen_groups | {self.groups[content] for content in self.chosen_contents}
        splits = {}
        for content, group in self.groups.items():
            split = find_split(group, fractions, salt)
            splits[content] = "train" if split == "test" and group in never else split, group in never
        return splits


def test_groups_that_a_model_chose_are_never_in_test_whatever_is_decided_next(tables, make_settings):
    settings, draw = make_settings({"train.fractions": [0.4, 0.2, 0.4]}).train, random.Random(5)
    contents = [f"h{n:02}" for n in range(60)]
    survey = Survey({content: f"g{n // 2:02}" for n, content in enumerate(contents)})
    add_images(tables, *[(f"{content}.jpg", content, None, group) for content, group in survey.groups.items()])
    number = 0
    for step in range(5):
        decisions: list[Decision] = []
        for content in draw.sample(contents, 6):
            number += 1
            is_chosen = draw.random() < 0.5
            action = draw.choice(["correct", "confirm", "unknown", "skip", "undo"])
            made = decision(
                number,
                content,
                "fox" if action in ("correct", "confirm") else None,
                action,
                undoes=f"id{draw.randrange(1, number + 1)}" if action == "undo" else None,
                group_id=survey.groups[content],
                is_model_chosen=is_chosen,
            )
            decisions.append(made)
            if is_chosen:
                survey.chosen_contents.add(content)
                survey.chosen_groups.add(survey.groups[content])
        append_decisions(tables, decisions)
        moved = draw.sample(contents, 5)  # more images were ingested: groups have changed
        survey.groups |= {content: f"g{draw.randrange(40):02}" for content in moved}
        add_images(
            tables, *[(f"{content}.jpg", content, None, survey.groups[content]) for content in moved], minutes=step + 1
        )
        rows = with_split(tables, tables.latest_images(), settings).collect()
        assert len(rows) == len(contents)
        found = {row["content_hash"]: (row["split"], row["is_model_chosen"]) for row in rows}
        assert found == survey.expected(settings.fractions, settings.split_salt)
        tested = {row["group_id"] for row in rows if row["split"] == "test"}
        assert not tested & survey.chosen_groups
    hashed = {find_split(group, settings.fractions, settings.split_salt) for group in survey.chosen_groups}
    assert hashed == {"train", "validation", "test"} and tested


def test_without_decisions_the_split_is_the_hash(tables, make_settings):
    settings = make_settings().train
    add_images(tables, *[(f"{n}", f"h{n}", "fox", f"g{n}") for n in range(20)])
    rows = with_split(tables, tables.latest_images().select("path", "group_id"), settings).collect()
    assert [tuple(row) for row in sorted(rows)] == sorted(
        (f"{n}", f"g{n}", find_split(f"g{n}", settings.fractions, settings.split_salt), False) for n in range(20)
    )


def test_an_image_that_was_removed_still_keeps_its_group_out_of_test(tables):
    add_images(tables, ("a", "h1", None, "g1"), ("b", "h2", None, "g1"))
    append_decisions(tables, [decision(1, "h1", "fox", is_model_chosen=True)])
    removed = tables.latest_images().where("path = 'a'").withColumn("content", F.lit(None).cast("binary"))
    removed = removed.withColumn("removed_at", F.lit(NOON)).withColumn(
        "ingested_at", F.lit(NOON + timedelta(minutes=1))
    )
    tables.append("images", removed)
    assert [row["path"] for row in tables.latest_images().collect()] == ["b"]
    assert [row["group_id"] for row in model_chosen_groups(tables).collect()] == ["g1"]
