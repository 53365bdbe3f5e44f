"""A faulty sweep plan is rejected, with all its faults, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.loader import build_settings, load_sourced_values
from pipelines.errors import SettingsError
from pipelines.stages.sweep.plan import read_plan


@pytest.fixture
def plan_of(tmp_path):
    def read(text: str):
        (tmp_path / "plan.yaml").write_text(text)
        return read_plan(str(tmp_path / "plan.yaml"), load_sourced_values(None, {}))

    return read


def faults(plan_of, text):
    with pytest.raises(SettingsError) as error:
        plan_of(text)
    return [fault.rpartition("plan.yaml: ")[2] for fault in error.value.faults]


def test_a_plan_has_ranges_and_choices(plan_of):
    plan = plan_of(
        "method: random\ntrials: 7\n"
        "space: {train.reg_params: {low: 0.001, high: 1, log: true}, train.pca_components: [null, 64]}"
    )
    assert (plan.n_trials, plan.metric, plan.direction, plan.parallel) == (7, "balanced_accuracy", "maximize", 1)
    assert plan.space["train.reg_params"].high == 1.0 and plan.space["train.pca_components"] == [None, 64]
    assert plan.choices("train.pca_components", 3) == [None, 64] and plan.choices("train.classifier", "lightgbm") == [
        "lightgbm"
    ]


def test_a_grid_is_every_combination(plan_of):
    plan = plan_of("method: grid\nspace: {train.reg_params: [0.1, 1.0], train.class_weights: [balanced, none]}")
    assert plan.n_trials == 4
    assert list(plan.combinations())[1] == {"train.reg_params": 0.1, "train.class_weights": "none"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "space: {train.reg_params: {low: 1, high: 0.1}}",
            "train.reg_params: low is 1 and high 0.1; low should be below high.",
        ),
        (
            "space: {train.reg_params: {low: 0, high: 1, log: true}}",
            "train.reg_params: a log range must start above 0, not at 0.",
        ),
        (
            "method: grid\nspace: {train.reg_params: {low: 0.1, high: 1}}",
            "train.reg_params is a range, which a grid does not support. List its values, or set method: random.",
        ),
        (
            "space: {train.max_iter: {low: 10.5, high: 20, integer: true}}",
            "train.max_iter: an integer range needs whole limits, not 10.5 and 20.",
        ),
        ("space: {train.pca_components: [64, 64]}", "train.pca_components has a duplicate value: [64, 64]."),
        (
            "space: {train.elastic_net: {low: 0, high: 2}}",
            "the sweep: train.elastic_net = 2.0 is refused: input should be less than or equal to 1.",
        ),
        (
            "space: {train.reg_param: [1]}",
            "the sweep has an unknown key 'train.reg_param'. Did you mean 'train.reg_params'?",
        ),
        ("space: {}", "space: dictionary should have at least 1 item after validation, not 0 (it is {})."),
        (
            "trials: 0\nspace: {train.pca_components: [64]}",
            "trials: input should be greater than or equal to 1 (it is 0).",
        ),
        (
            "methods: grid\nspace: {train.pca_components: [64]}",
            "methods: extra inputs are not permitted (it is 'grid').",
        ),
    ],
)
def test_faults_are_named(plan_of, text, expected):
    assert faults(plan_of, text) == [expected]


def test_what_would_make_trials_incomparable_cannot_be_swept(plan_of):
    (fault,) = faults(plan_of, "space: {train.cv_folds: [2, 5]}")
    assert fault.startswith("train.cv_folds cannot be swept: trials would not be comparable.")
    (fault,) = faults(plan_of, "space: {score.target_recall: [0.95]}")
    assert fault.startswith("score.target_recall cannot be swept")


def test_all_faults_are_reported_at_once(plan_of):
    found = faults(
        plan_of, "space: {train.reg_params: {low: 2, high: 1}, train.elastic_net: [3], train.classifier: [forest]}"
    )
    assert len(found) == 3


def test_a_file_that_is_no_plan_is_refused(plan_of, tmp_path):
    with pytest.raises(SettingsError, match=r"There is no file .*none\.yaml\. Give a sweep plan, such as conf/sweeps/"):
        read_plan(str(tmp_path / "none.yaml"), {})
    for text in ("- 1", "space: ["):
        with pytest.raises(SettingsError, match="is not a YAML mapping"):
            plan_of(text)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("conf/sweeps/*.yaml")), ids=lambda path: path.stem
)
def test_the_plans_that_come_along_are_sound(path):
    assert read_plan(str(path), load_sourced_values(None, {})).n_trials > 1


def test_features_are_needed_for_every_combination_of_backbone_and_views(plan_of):
    origins = load_sourced_values(None, {"featurize.horizontal_flip": "true"})
    both = "featurize.backbone: [irbis_tiny, raw_pixels], featurize.views: [whole, 'whole,motion']"
    found = [build_settings(each).featurize for each in plan_of(f"space: {{{both}}}").feature_settings(origins)]
    assert [(each.backbone, each.views) for each in found] == [
        ("irbis_tiny", ["whole"]),
        ("irbis_tiny", ["whole", "motion"]),
        ("raw_pixels", ["whole"]),
        ("raw_pixels", ["whole", "motion"]),
    ]
    assert all(each.horizontal_flip for each in found)
