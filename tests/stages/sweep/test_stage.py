"""A sweep: trials on the same folds, logged one by one, resumed after an interruption."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from pyspark.sql.utils import IllegalArgumentException

from pipelines.config.loader import SourcedValue, build_settings, flatten, load_sourced_values
from pipelines.errors import DataError, SettingsError
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.sweep import stage as sweep
from pipelines.stages.sweep import trial as trial_module
from pipelines.stages.sweep.plan import Shard, SweepPlan
from pipelines.stages.sweep.trial import final_params
from pipelines.tracking.code_version import code_version
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.sweep_runs import PARENT, Trial


@pytest.fixture
def origins(settings):
    found = load_sourced_values(None, {})
    return {**found, **{key: SourcedValue(value, "test") for key, value in flatten(settings.model_dump(by_alias=True))}}


def plan(**values):
    space = {"train.reg_params": [0.01, 100.0], "train.class_weights": ["balanced", "none"]}
    return SweepPlan(**{"method": "grid", "space": space, "prune": False, **values})


def nested(settings):
    client = Tracking.of(settings).client
    (parent,) = client.search_runs(["1"], "tags.`irbis.sweep` = 'grid'")
    return parent, client.search_runs(["1"], f"tags.`{PARENT}` = '{parent.info.run_id}'")


def test_every_combination_is_a_nested_run_and_the_best_is_the_command_that_trains_it(spark, settings, origins):
    result = sweep.run(spark, settings, plan(parallel=2), "grid", origins)
    parent, runs = nested(settings)
    assert (result.written, len(runs)) == (4, 4)
    trials = [Trial(**json.loads(run.data.tags["irbis.trial"])) for run in runs]
    assert {tuple(trial.parameters.values()) for trial in trials} == {
        (penalty, weights) for penalty in (0.01, 100.0) for weights in ("balanced", "none")
    }
    code = {f"irbis.{key}": value for key, value in code_version().items()}
    assert all(code.items() <= run.data.tags.items() for run in (parent, *runs))
    best = max(trial.value for trial in trials)
    assert parent.data.metrics["best"] == best > 0.9 and parent.info.status == "FINISHED"
    by_parameters = {run.data.params["train.reg_params"]: run.data.metrics["log_loss"] for run in runs}
    assert by_parameters["0.01"] < by_parameters["100.0"]
    assert re.search(rf"grid: balanced_accuracy {best:.3f} with: irbis train --set train\.reg_params=", result.outcome)
    lines = result.notes[0].strip().splitlines()
    assert lines[0].split() == ["trial", "balanced_accuracy", "95", "%", "seconds", *plan().space]
    assert len(lines) == 5
    again = sweep.run(spark, settings, plan(parallel=2), "grid", origins)
    assert (again.written, again.notes) == (0, result.notes)
    assert len(nested(settings)[1]) == 4


def test_views_are_compared(spark, settings, origins):
    views = plan(space={"featurize.views": ["whole", "whole,motion"]})
    for chosen in views.feature_settings(origins):
        featurize.run(spark, build_settings(chosen))
    result = sweep.run(spark, settings, views, "grid", origins)
    assert (result.read, result.written, result.failures) == (138, 2, {})  # of 180, without the test split
    losses = {run.data.params["featurize.views"]: run.data.metrics["log_loss"] for run in nested(settings)[1]}
    assert losses.keys() == {"whole", "whole,motion"} and losses["whole"] != losses["whole,motion"]


def test_an_interrupted_sweep_goes_on_where_it_was(spark, settings, origins, monkeypatch):
    run_trial, done = sweep.run_trial, []

    def interrupted(found):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(run_trial(found))
        return done[-1]

    monkeypatch.setattr(sweep, "run_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(spark, settings, plan(), "grid", origins)
    parent, runs = nested(settings)
    assert (parent.info.status, len(runs)) == ("KILLED", 2)
    monkeypatch.setattr(sweep, "run_trial", run_trial)
    result = sweep.run(spark, settings, plan(), "grid", origins)
    parent, runs = nested(settings)
    assert (result.written, len(runs), parent.info.status) == (2, 4, "FINISHED")
    parameters = [json.loads(run.data.tags["irbis.trial"])["parameters"] for run in runs]
    assert all(parameters.count(each) == 1 for each in parameters)


def test_the_run_of_a_trial_is_ended_where_a_sweep_was_killed_before_it_did(spark, settings, origins):
    sweep.run(spark, settings, plan(), "grid", origins)
    client, (first, *_) = Tracking.of(settings).client, nested(settings)[1]
    client.update_run(first.info.run_id, status="RUNNING")
    assert sweep.run(spark, settings, plan(), "grid", origins).written == 0
    assert [run.info.status for run in nested(settings)[1]] == ["FINISHED"] * 4


def test_more_trials_can_be_added_and_none_is_drawn_twice(spark, settings, origins):
    space = {"train.reg_params": {"low": 0.001, "high": 1.0, "log": True}}
    drawn = plan(method="random", space=space, trials=2)
    assert sweep.run(spark, settings, drawn, "grid", origins).written == 2
    more = sweep.run(spark, settings, drawn.model_copy(update={"trials": 3}), "grid", origins)
    assert more.written == 1
    _, runs = nested(settings)
    penalties = {run.data.params["train.reg_params"] for run in runs}
    assert len(penalties) == 3 and all(0.001 <= float(each) <= 1 for each in penalties)


def test_shares_try_every_combination_once_and_the_run_of_all_gives_the_table(spark, settings, origins):
    with pytest.raises(DataError, match=r"Sweep grid has not been initialised .*irbis sweep FILE --init"):
        sweep.run(spark, settings, plan(), "grid", origins, Shard(1, 2))
    assert sweep.init_sweep(spark, settings, plan(), "grid").outcome == "grid: 0 of 4 trials are done"
    with ThreadPoolExecutor(2) as pool:  # side by side, as two processes are
        shares = [pool.submit(sweep.run, spark, settings, plan(), "grid", origins, Shard(n, 2)) for n in (1, 2)]
    results = [each.result() for each in shares]
    assert [(each.written, each.outcome, each.notes) for each in results] == [
        (2, f"grid: shard {n} of 2, 2 of 4 trials", ()) for n in (1, 2)
    ]
    assert nested(settings)[0].info.status == "RUNNING"
    whole = sweep.run(spark, settings, plan(), "grid", origins)
    parent, runs = nested(settings)
    trials = sorted((Trial(**json.loads(run.data.tags["irbis.trial"])) for run in runs), key=lambda each: each.number)
    assert [each.parameters for each in trials] == list(plan().combinations())
    assert (whole.written, parent.info.status, len(whole.notes[0].strip().splitlines())) == (0, "FINISHED", 5)
    assert sweep.run(spark, settings, plan(), "grid", origins, Shard(1, 2)).written == 0  # a task that is repaired late
    assert nested(settings)[0].info.status == "FINISHED"


def test_a_shard_draws_other_values_than_the_others_and_learns_of_their_trials(spark, settings, origins, monkeypatch):
    space = {"train.reg_params": {"low": 0.001, "high": 1.0, "log": True}}
    drawn = plan(method="tpe", space=space, trials=4)
    sweep.init_sweep(spark, settings, drawn, "grid")
    counts, add = [], trial_module.add_trials
    monkeypatch.setattr(
        trial_module, "add_trials", lambda study, plan, trials: counts.append(len(trials)) or add(study, plan, trials)
    )
    assert [sweep.run(spark, settings, drawn, "grid", origins, Shard(n, 2)).written for n in (2, 1)] == [2, 2]
    assert counts == [0, 0, 0, 2, 0, 0]  # as it starts, and before each trial
    _, runs = nested(settings)
    assert len({run.data.params["train.reg_params"] for run in runs}) == 4


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/4/2", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(SettingsError, match="give number and count, such as 1/4 to 4/4"):
        Shard.parse(text)


def test_what_a_learner_refuses_is_written_down_and_the_others_go_on(spark, settings, origins):
    result = sweep.run(spark, settings, plan(space={"train.pca_components": [5, 100_000]}), "grid", origins)
    assert (result.written, dict(result.failures)) == (2, {"failed": 1}), result.notes
    failed, fine = sorted(nested(settings)[1], key=lambda run: run.info.status)
    assert (failed.info.status, fine.info.status) == ("FAILED", "FINISHED")
    assert "--set train.pca_components=5" in result.outcome
    assert re.search(r"100000 +failed: .+", result.notes[0])


def test_a_spark_that_stops_is_no_finding_about_parameters(spark, settings, origins, monkeypatch):
    monkeypatch.setattr("pipelines.stages.sweep.trial.is_running", lambda spark: False)
    with pytest.raises(IllegalArgumentException):
        sweep.run(spark, settings, plan(space={"train.pca_components": [100_000]}), "grid", origins)
    monkeypatch.undo()
    assert "irbis.trial" not in nested(settings)[1][0].data.tags
    assert sweep.run(spark, settings, plan(space={"train.pca_components": [100_000]}), "grid", origins).failures == {
        "failed": 1
    }


def test_a_failed_trial_whose_run_is_deleted_is_tried_again(spark, settings, origins):
    chosen = plan(space={"train.pca_components": [100_000]})
    assert sweep.run(spark, settings, chosen, "grid", origins).written == 1
    assert sweep.run(spark, settings, chosen, "grid", origins).written == 0
    Tracking.of(settings).client.delete_run(nested(settings)[1][0].info.run_id)
    assert sweep.run(spark, settings, chosen, "grid", origins).written == 1


def test_a_hopeless_trial_is_stopped_after_one_fold(spark, settings, origins, monkeypatch):
    monkeypatch.setattr("pipelines.stages.sweep.trial.N_STARTUP_TRIALS", 2)
    space = {"train.reg_params": [0.03, 0.02, 0.01, 1000.0]}
    result = sweep.run(spark, settings, plan(space=space, prune=True, metric="log_loss"), "grid", origins)
    trials = [Trial(**json.loads(run.data.tags["irbis.trial"])) for run in nested(settings)[1]]
    stopped = [trial for trial in trials if trial.state == "pruned"]
    assert [trial.parameters["train.reg_params"] for trial in stopped] == [1000.0]
    assert (
        stopped[0].value
        == stopped[0].first_fold_value
        > max(trial.first_fold_value for trial in trials if trial.state == "finished")
    )
    assert stopped[0].low is None
    assert result.notes[0].strip().splitlines()[-1].endswith("pruned after one fold")


def test_without_folds_there_is_no_sweep(spark, settings, origins):
    none = settings.model_copy(update={"train": settings.train.model_copy(update={"cv_folds": 0})})
    with pytest.raises(DataError, match=r"a sweep needs cross-validation\. Set train.cv_folds to 2 or more"):
        sweep.run(spark, none, plan(), "grid", origins)


def test_what_cross_validation_chose_within_a_trial_is_part_of_the_command():
    trial = Trial(0, {"train.pca_components": 64}, "finished", 0.9, selected_params={"reg_param": 0.03})
    assert final_params(trial) == {"train.reg_params": 0.03, "train.pca_components": 64}
    swept = Trial(0, {"train.reg_params": 0.5}, "finished", 0.9, selected_params={"reg_param": 0.5})
    assert final_params(swept) == {"train.reg_params": 0.5}
