from __future__ import annotations

import json
from datetime import datetime

from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.report import stage as report
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.status import as_text, collect_status
from pipelines.tracking.mlflow_client import Tracking

from .stages import conftest as stages
from .stages.conftest import RULES, changed, jpeg

featurized, champion, trained = stages.featurized, stages.champion, stages.trained  # fixtures
draw, survey = stages.draw, stages.survey


def test_of_nothing_all_counts_are_zero(spark, make_settings):
    found = collect_status(spark, make_settings())
    assert [counts["rows"] for counts in found["tables"].values()] == [0, 0, 0, 0]
    assert found["missing"] == {"featurize": 0, "train": 0, "score": 0, "report": 0}
    assert found["champion"] is None and found["challenger"] is None
    assert as_text(found).splitlines()[-1] == "champion     none yet: run `irbis train`"


def test_each_stage_takes_away_what_is_missing_for_it_and_gives_the_next_one_work(spark, make_settings, draw, survey):
    settings = make_settings({"sources.images": str(draw(survey | {"S0/plain/bad.jpg": b""})), **RULES})

    def missing():
        return collect_status(spark, settings)["missing"]

    ingest.run(spark, settings)
    assert missing() == {"ingest": 0, "featurize": 181, "train": 0, "score": 181, "report": 1}
    featurize.run(spark, settings)
    assert missing() == {"ingest": 0, "featurize": 0, "train": 180, "score": 181, "report": 1}
    train.run(spark, settings)
    score.run(spark, settings)
    report.run(spark, settings)
    assert missing() == {"ingest": 0, "featurize": 0, "train": 0, "score": 0, "report": 0}
    # A new file, and one that is another image now.
    draw({"S1/plain/new.jpg": jpeg(99, 5, datetime(2025, 1, 1), "plain"), "S0/plain/bad.jpg": jpeg(98, 6)})
    ingest.run(spark, settings)
    draw({"S1/plain/newer.jpg": b""})
    featurize.run(spark, settings)
    assert missing() == {"ingest": 1, "featurize": 0, "train": 2, "score": 2, "report": 1}


def test_with_mirror_what_lacks_mirrored_features_is_to_be_featurized_and_no_more_to_be_learned(spark, trained):
    on = trained.model_copy(update={"featurize": trained.featurize.model_copy(update={"horizontal_flip": True})})
    assert collect_status(spark, trained)["missing"]["featurize"] == 0
    missing = collect_status(spark, on)["missing"]
    assert (missing["featurize"], missing["train"]) == (181, 0)
    featurize.run(spark, on)
    assert collect_status(spark, on)["missing"]["featurize"] == 0


def test_counts_failures_backbones_and_the_champions_figures(spark, trained):
    score.run(spark, trained)
    found = collect_status(spark, trained)
    images, features, predictions = (found["tables"][name] for name in ("images", "features", "predictions"))
    assert (images["rows"], images["paths"], images["hashes"], images["labelled"]) == (181, 181, 181, 181)
    assert images["failures"] == features["failures"] == predictions["failures"] == {"not_an_image": 1}
    assert list(features["backbones"].values()) == [181]
    assert predictions["model_versions"] == {"1": 181}
    champion = Tracking.of(trained).champion()
    assert found["champion"]["metrics"] == champion.metrics
    lines = as_text(found).splitlines()
    assert lines[1].startswith("images       181 rows, 181 paths, 181 hashes, 181 labelled; ")
    assert f"               accuracy {champion.metrics['accuracy']:.3f}" in lines


def test_who_challenges_the_champion_stands_beside_it_and_has_learned_what_there_is(spark, trained, draw, tmp_path):
    draw({"S9/plain/new.jpg": jpeg(99, 5, datetime(2025, 1, 1), "plain")})
    more = changed(trained, "sources", images=str(tmp_path / "images"))
    ingest.run(spark, more)
    featurize.run(spark, more)
    assert collect_status(spark, trained)["missing"]["train"] == 1
    train.run(spark, changed(more, "train", reg_params=[10.0], elastic_net=1.0))  # all weights zero
    found = collect_status(spark, trained)
    assert found["missing"]["train"] == 0
    assert (found["champion"]["version"], found["challenger"]["version"]) == ("1", "2")
    assert json.loads(json.dumps(found))["challenger"]["gate"].startswith("is challenger, irbis/1 stays champion: bal")
    *_, second, last = as_text(found).splitlines()
    assert second.startswith("challenger   irbis/2 on irbis_tiny@")
    assert last == f"               {found['challenger']['gate']}"
