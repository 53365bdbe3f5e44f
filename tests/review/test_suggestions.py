"""Suggestions on real tables: a survey without labels, with some, and with a model."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import datetime, timezone

import pytest

from pipelines.errors import DataError
from pipelines.review import candidates as candidates_module
from pipelines.review.suggest import audit_key
from pipelines.review.suggestions import SUGGESTIONS_PATH, suggest, write_csv
from pipelines.schemas import Decision
from pipelines.workspace.labels import append_decisions
from pipelines.workspace.tables import Tables

from ..stages.conftest import champion, draw, featurized, mixed, settings, trained  # noqa: F401

KEYS = {"content_hash", "path", "burst_id", "group_id", "station", "reason", "is_model_chosen"}


@pytest.fixture
def unlabel(spark):
    """Return a function that takes the labels of a source away from all images whose path does not contain a text."""

    def apply(chosen, kept=None):
        tables = Tables.of(spark, chosen)
        rows = tables.read("images").where("label is not null")
        if kept:
            rows = rows.where(~rows.path.contains(kept))
        tables.delete_matching("images", tables.materialize(rows.select("path")), only="label")
        return tables

    return apply


def read_items(chosen):
    with open(f"{chosen.workspace}/{SUGGESTIONS_PATH}", encoding="utf-8") as file:
        return json.load(file)


def test_nothing_labelled_and_nothing_trained(spark, settings, unlabel):  # noqa: F811
    tables = unlabel(settings)
    result = suggest(spark, settings, 20)
    values = read_items(settings)
    assert values["model_version"] is None and len(values["items"]) == 20
    assert set(values["items"][0]) == KEYS
    assert {(item["reason"], item["is_model_chosen"]) for item in values["items"]} == {("center", False)}
    assert len({item["group_id"] for item in values["items"]}) == 20
    assert Counter(item["station"] for item in values["items"]) == {"S0": 10, "S1": 10}
    assert "striped" in str(values["items"]) and "plain" in str(values["items"])
    known = {(row.path, row.content_hash, row.burst_id) for row in tables.latest_images().collect()}
    assert {(item["path"], item["content_hash"], item["burst_id"]) for item in values["items"]} <= known
    assert "20 of 60 unlabelled bursts, 1 image left out (1 not_an_image)" in result.closing_line
    assert suggest(spark, settings, 20).items == result.items  # the same again


def test_bursts_with_any_label_are_no_candidates(spark, settings, unlabel, tmp_path):  # noqa: F811
    tables = unlabel(settings, kept="_0.jpg")  # the first frame of each burst
    assert "every readable burst has a label" in suggest(spark, settings, 5).closing_line
    assert read_items(settings)["items"] == []
    unlabel(settings, kept="/plain/")
    first = tables.latest_images().where("label is null and path like '%/striped/%'").orderBy("path").first()
    unknown = Decision("d1", first.content_hash, first.path, None, "unknown", reviewed_at=datetime.now(timezone.utc))
    append_decisions(tables, [unknown])
    result = suggest(spark, settings, 100)
    assert len(result.items) == 29  # 30 striped bursts, but one about which a person could not tell
    assert first.burst_id not in {item.burst_id for item in result.items}
    write_csv(result.items, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        assert [row["burst_id"] for row in csv.DictReader(file)] == [item.burst_id for item in result.items]


def test_with_a_champion_and_a_class_to_find(spark, trained, unlabel):  # noqa: F811
    unlabel(trained)
    result = suggest(spark, trained, 20)
    assert Counter(item.reason for item in result.items) == {"margin": 12, "diverse": 5, "random": 3}
    assert all(item.is_model_chosen == (item.reason != "random") for item in result.items)
    assert read_items(trained)["model_version"] == "1"
    found = suggest(spark, trained, 20, find="striped")
    probable = [item for item in found.items if item.reason == "probable"]
    assert len(probable) == 19 and all("/striped/" in item.path and item.is_model_chosen for item in probable)
    unknown = suggest(spark, trained, 5, find="lynx")
    assert {item.reason for item in unknown.items} == {"center"}
    assert "irbis/1 does not know lynx" in unknown.notes[-1]


def test_candidates_are_limited_and_the_audit_is_of_all_bursts(spark, trained, unlabel, monkeypatch):  # noqa: F811
    unlabel(trained)
    monkeypatch.setattr(candidates_module, "MAX_CANDIDATES", 30)
    drawn = []
    original = candidates_module._collect
    monkeypatch.setattr(candidates_module, "_collect", lambda *given: drawn.append(original(*given)) or drawn[-1])
    few = suggest(spark, trained, 20)
    assert 20 <= len(drawn[0].candidates) <= 30
    chosen = {item.burst_id for item in few.items if item.reason != "random"}
    bursts = {row.burst_id for row in Tables.of(spark, trained).latest_images().where("failure is null").collect()}
    expected = sorted(bursts - chosen, key=audit_key)[:3]
    assert [item.burst_id for item in few.items if item.reason == "random"] == expected


def test_without_features_the_error_says_what_to_do(spark, mixed):  # noqa: F811
    with pytest.raises(DataError, match=r"no features of irbis_tiny@.*`irbis featurize --backbone irbis_tiny` first"):
        suggest(spark, mixed, 5)
