"""Who made which version champion, when and why, on a real registry."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta, timezone

import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import ModelError
from pipelines.tracking import promotion
from pipelines.tracking.mlflow_client import CHALLENGER, Tracking
from pipelines.tracking.promotion import promote, promotion_history, rollback, set_champion


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Return a workspace whose registry has three versions, of which the gate has promoted two: built once."""
    workspace = tmp_path_factory.mktemp("registry") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion.getpass, "getuser", lambda: "mia")
        tracking = Tracking.of(load_settings(None, {"workspace": str(workspace)}))
        tracking.client.create_registered_model("irbis")
        for _ in range(3):
            tracking.client.create_model_version("irbis", f"file://{workspace}/model")
        for number in ("1", "2"):
            set_champion(tracking, tracking.get_version(number), f"better {number}")
    return workspace


@pytest.fixture
def tracking(registry, tmp_path, monkeypatch):
    """Return the tracking of a copy of the registry."""
    monkeypatch.setattr(promotion.getpass, "getuser", lambda: "mia")
    shutil.copytree(registry, tmp_path / "workspace")
    return Tracking.of(load_settings(None, {"workspace": str(tmp_path / "workspace")}))


def test_each_promotion_is_written_on_its_version(tracking):
    (first,), (second,) = (promotion_history(tracking.get_version(number)) for number in ("1", "2"))
    assert (first.by, first.reason, first.previous, first.is_rollback) == ("mia", "better 1", None, False)
    assert (second.reason, second.previous) == ("better 2", "1")
    assert timedelta(0) <= datetime.now(timezone.utc) - datetime.fromisoformat(second.at) < timedelta(minutes=5)
    assert promotion_history(tracking.get_version("3")) == []
    assert tracking.champion().version == "2"


def test_promote_moves_the_alias_and_says_so(tracking):
    assert promote(tracking, "3", "looked at 500 images: it is") == "irbis/3 is champion instead of irbis/2"
    assert tracking.champion().version == "3"
    written = json.loads(tracking.client.get_model_version("irbis", "3").tags["irbis.promotions"])
    assert [(each["by"], each["reason"], each["previous"]) for each in written] == [
        ("mia", "looked at 500 images: it is", "2")
    ]
    assert promote(tracking, "3", "again") == "irbis/3 is already champion"
    assert len(promotion_history(tracking.get_version("3"))) == 1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("9", r"has no version 9\. Known: 3, 2, 1"), ("champion", "Give the version by its number")],
)
def test_what_is_no_version_is_refused(tracking, wanted, message):
    with pytest.raises(ModelError, match=message):
        promote(tracking, wanted, "a slip")
    assert tracking.champion().version == "2"


def test_a_challenger_that_is_promoted_is_challenger_no_longer(tracking):
    tracking.set_alias(tracking.get_version("3"), CHALLENGER)
    assert tracking.challenger().version == "3"
    promote(tracking, "3", "its leopards are right, the labels are not")
    assert (tracking.champion().version, tracking.challenger()) == ("3", None)
    tracking.set_alias(tracking.get_version("2"), CHALLENGER)
    rollback(tracking, "they were not")
    assert (tracking.champion().version, tracking.challenger()) == ("2", None)


def test_another_version_stays_challenger_when_a_person_moves_the_champion(tracking):
    tracking.set_alias(tracking.get_version("3"), CHALLENGER)
    promote(tracking, "1", "the new ones are too slow")
    assert (tracking.champion().version, tracking.challenger().version) == ("1", "3")


def test_rollback_goes_back_one_version_after_the_other(tracking):
    promote(tracking, "3", "in haste")
    assert rollback(tracking, "finds no leopard") == "irbis/2 is champion again, instead of irbis/3"
    assert promotion_history(tracking.get_version("2"))[-1].is_rollback
    assert rollback(tracking, "nor does this one") == "irbis/1 is champion again, instead of irbis/2"
    with pytest.raises(ModelError, match="irbis/1 has no recorded previous champion"):
        rollback(tracking, "nor this")
    assert tracking.champion().version == "1"


def test_a_version_promoted_again_goes_back_to_what_was_champion_last(tracking):
    promote(tracking, "1", "the new one is too slow")
    rollback(tracking, "but it is better")
    assert tracking.champion().version == "2"


def test_a_version_that_was_deleted_cannot_come_back(tracking):
    tracking.delete(tracking.get_version("1"))
    with pytest.raises(ModelError, match=r"has no version 1\. Known: 3, 2"):
        rollback(tracking, "back to the first")
    assert tracking.champion().version == "2"


def test_without_a_champion_there_is_nothing_to_go_back_from(tmp_path):
    tracking = Tracking.of(load_settings(None, {"workspace": str(tmp_path)}))
    with pytest.raises(ModelError, match="has no champion"):
        rollback(tracking, "a slip")


def test_the_champion_is_never_deleted(tracking):
    with pytest.raises(ModelError, match="irbis/2 is champion and cannot be deleted"):
        tracking.delete(tracking.get_version("2"))
    tracking.delete(tracking.get_version("3"))
    assert [each.version for each in tracking.versions()] == ["2", "1"] and tracking.champion().version == "2"
