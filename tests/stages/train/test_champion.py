"""Training with the gate: which version is champion afterwards, and what is recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from pipelines.errors import ModelError
from pipelines.evaluation.split import assign_split
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.train import register
from pipelines.stages.train import stage as train
from pipelines.stages.train.compare_splits import compare_splits_report
from pipelines.stages.train.gate import apply_gate
from pipelines.stages.train.training_data import training_rows
from pipelines.status import as_text, collect_status
from pipelines.tracking.mlflow_client import CHAMPION, EVALUATION, Tracking
from pipelines.workspace.tables import Tables

from ..conftest import changed


def zero(settings):
    """Return settings that make all weights zero: one prediction for every image."""
    return changed(settings, "train", reg_params=[10.0], elastic_net=1.0)


def gate_of(tracking, version):
    """Return the decision in the run of a version, and the gate's metrics there."""
    data = tracking.client.get_run(version.run_id).data
    return data.tags.get("irbis.gate"), {key: each for key, each in data.metrics.items() if key.startswith("gate.")}


def test_a_worse_version_does_not_become_champion(spark, trained):
    result = train.run(spark, zero(trained))
    tracking = Tracking.of(trained)
    assert (tracking.champion().version, tracking.challenger().version) == ("1", "2")
    assert "irbis/2 is challenger, irbis/1 stays champion: balanced accuracy is not higher" in result.outcome
    verdict, metrics = gate_of(tracking, tracking.challenger())
    assert verdict == tracking.challenger().tags["gate"] and verdict in result.outcome
    mine, other = (each.metrics["balanced_accuracy"] for each in (tracking.challenger(), tracking.champion()))
    assert metrics["gate.difference"] == pytest.approx(mine - other) and mine == 0.5
    assert metrics["gate.win_rate"] == 0
    assert metrics["gate.difference.low"] <= metrics["gate.difference"] <= metrics["gate.difference.high"] <= 0


def test_a_version_that_beats_the_champion_takes_its_place_and_the_challengers(spark, settings):
    train.run(spark, zero(settings))
    train.run(spark, changed(zero(settings), "train", reg_params=[20.0]))
    tracking = Tracking.of(settings)
    assert (tracking.champion().version, tracking.challenger().version) == ("1", "2")
    result = train.run(spark, settings)
    assert (tracking.champion().version, tracking.challenger()) == ("3", None)
    assert "irbis/3 is champion: balanced accuracy " in result.outcome
    verdict, metrics = gate_of(tracking, tracking.champion())
    assert verdict == tracking.champion().tags["gate"]
    assert metrics["gate.difference"] > 0.3 and metrics["gate.win_rate"] >= 0.95


def test_a_champion_that_does_not_know_a_label_is_compared_on_it_too(spark, trained, tmp_path):
    labels = ["path,label"]
    for path in sorted(Path(trained.sources.images).rglob("*_?.jpg")):
        label = "bright" if int(path.name[:3]) >= 40 else path.parent.name
        labels.append(f"{path.relative_to(trained.sources.images)},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    relabelled = changed(trained, "sources", labels=str(tmp_path / "labels.csv"))
    ingest.run(spark, relabelled)
    result = train.run(spark, relabelled)
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    assert (champion.version, champion.classes) == ("2", ["bright", "plain", "striped"])
    verdict = re.search(r"balanced accuracy (\S+), irbis/1 (\S+) on the same (\d+) test images", result.outcome)
    new, old, rows = map(float, verdict.groups())
    assert new == pytest.approx(champion.metrics["balanced_accuracy"], abs=5e-4)
    assert old <= 0.667 < new  # of three classes it finds two at the most
    assert rows == float(tracking.params(champion)["rows.test"])


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        (
            {"backbone": "squeezenet1_1@00000000/squash224-bilinear"},
            "irbis/1 has no features of the test images; run "
            "`irbis featurize --backbone squeezenet1_1`, then train again",
        ),
        (
            {"split": '{"fractions": [1.0, 0.0, 0.0], "salt": "irbis"}'},
            "irbis/1 was trained with another split, on all of these test images; set "
            "train.split_salt to irbis and train.fractions to 1,0,0 as before",
        ),
    ],
)
def test_a_champion_that_cannot_be_compared_stays(spark, trained, tags, why):
    tracking = Tracking.of(trained)
    tracking.tag(tracking.champion(), **tags)
    result = train.run(spark, changed(trained, "train", reg_params=[0.02]))
    assert f"irbis/2 is challenger, irbis/1 stays champion: {why}" in result.outcome
    assert (tracking.champion().version, tracking.challenger().version) == ("1", "2")


def test_a_champion_is_compared_only_on_groups_that_it_was_not_trained_on(spark, trained):
    other = changed(trained, "train", split_salt="another", fractions=[0.3, 0.3, 0.4])
    result = train.run(spark, other)
    tracking = Tracking.of(trained)
    rows = training_rows(Tables.of(spark, other), other, tracking.champion().tags["backbone"])
    before = assign_split(F.col("group_id"), trained.train.fractions, trained.train.split_salt)
    both = rows.where("split = 'test'").where(before == "test")
    groups = both.select("group_id").distinct().count()
    assert 0 < both.count() < rows.where("split = 'test'").count()
    assert f"on the same {both.count()} test images of {groups} groups" in result.outcome


def test_groups_that_were_moved_to_the_training_of_the_champion_are_not_compared_on(spark, trained):
    tracking = Tracking.of(trained)
    champion = tracking.champion()
    rows = training_rows(Tables.of(spark, trained), trained, champion.tags["backbone"]).where("split = 'test'")
    groups = sorted(row["group_id"] for row in rows.select("group_id").distinct().collect())
    tracking.tag(champion, split=json.dumps({**champion.split, "moved": groups[:2]}))
    result = train.run(spark, changed(trained, "train", reg_params=[0.02]))
    assert f"on the same {rows.count() - 6} test images of {len(groups) - 2} groups" in result.outcome
    tracking.tag(champion, split=json.dumps({**champion.split, "moved": groups}))
    result = train.run(spark, changed(trained, "train", reg_params=[0.03]))
    assert "irbis/3 is challenger, irbis/1 stays champion: no test image is new to both" in result.outcome
    assert "`irbis promote 3 --reason ...`" in result.outcome


def test_a_rare_class_without_test_images_is_trained_and_the_method_is_recorded_with_the_metrics(
    spark, trained, tmp_path
):
    backbone = Tracking.of(trained).champion().tags["backbone"]
    rows = training_rows(Tables.of(spark, trained), trained, backbone).where("split = 'train'")
    groups = sorted(row["group_id"] for row in rows.select("group_id").distinct().collect())
    rare = {row["path"]: row["group_id"] for row in rows.where(F.col("group_id").isin(groups[:4])).collect()}
    labels = ["path,label"]
    for path in sorted(Path(trained.sources.images).rglob("*_?.jpg")):
        group = rare.get(path.as_uri())
        label = path.parent.name if group is None else "once" if group == groups[3] else "rare"
        labels.append(f"{path.relative_to(trained.sources.images)},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    relabelled = changed(trained, "sources", labels=str(tmp_path / "labels.csv"))
    ingest.run(spark, relabelled)
    result = train.run(spark, relabelled)
    assert "; not compared, for lack of test images: rare; 2-fold cross-validation balanced accuracy" in result.outcome
    first, left_out, *_ = result.notes
    assert first.startswith("The metrics are from 2-fold cross-validation over the groups of all splits")
    assert left_out.startswith("1 class with too few groups (train.min_groups_per_class) left out, 3 images")
    assert result.read == 177
    tracking = Tracking.of(trained)
    version = tracking.versions()[0]
    assert (version.classes, version.tags["evaluation"]) == (["plain", "rare", "striped"], "2-fold cross-validation")
    params, kept = tracking.params(version), tracking.read_json(version, EVALUATION)
    assert (params["evaluation.method"], params["rows.left_out"]) == ("2-fold cross-validation", "3")
    assert kept["test"]["per_class"]["rare"]["support"] == 9 and kept["test"]["rows"] == 177
    assert kept["caveats"] == list(result.notes[: len(kept["caveats"])])
    metrics = tracking.client.get_run(version.run_id).data.metrics
    assert metrics["cross_validation.balanced_accuracy"] == version.metrics["balanced_accuracy"]
    card = tracking.client.get_model_version("irbis", version.version).description
    assert "## 2-fold cross-validation" in card and first in card and "recall by cross-validation" in card
    status = collect_status(spark, relabelled)
    methods = {each["version"]: each["evaluation"] for each in (status["champion"], status["challenger"]) if each}
    assert status["missing"]["train"] == 0 and methods["2"] == "2-fold cross-validation"
    assert ("figures of 2-fold" in as_text(status)) == (status["champion"]["version"] == "2")
    compared = compare_splits_report(spark, relabelled)
    assert compared.splitlines()[0].startswith("177 images in 59 groups")
    assert compared.splitlines()[-1] == left_out.partition(" The model")[0]
    again = train.run(spark, relabelled)
    assert (again.read, again.written) == (0, 0)


def test_a_training_killed_between_promotion_and_decision_loses_no_champion(spark, settings, monkeypatch):
    def killed(*_, **tags):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(register, "apply_gate", lambda *given: apply_gate(*given) and killed())
        train.run(spark, settings)
    tracking = Tracking.of(settings)
    assert tracking.champion().version == "1" and "gate" not in tracking.champion().tags
    result = train.run(spark, settings)
    assert (result.written, result.outcome) == (0, "irbis/1 was trained on the same data and settings: nothing to do")
    assert [each.version for each in tracking.versions()] == ["1"]
    assert tracking.champion().tags["gate"] == "is champion: the first version"


def test_where_the_alias_was_lost_no_version_becomes_champion_unexamined(spark, trained):
    tracking = Tracking.of(trained)
    tracking.delete_alias(CHAMPION)
    with pytest.raises(
        ModelError, match=r"^Model irbis has no champion any more; former champions: irbis/1\. .*`irbis pro"
    ):
        train.run(spark, changed(trained, "train", reg_params=[0.02]))
    assert [each.version for each in tracking.versions()] == ["1"]
