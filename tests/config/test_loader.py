"""Where settings come from, and what is said of those that are wrong."""

from __future__ import annotations

import re

import pytest
import yaml

from pipelines.config.former_names import FORMER_NAMES
from pipelines.config.loader import (
    SourcedValue,
    conf_dir,
    flatten,
    load_settings,
    load_sourced_values,
    overlay_settings,
    setting_keys,
)
from pipelines.errors import SettingsError
from tests.config.refusals import faults, write


def test_the_last_of_the_four_sources_wins(tmp_path, monkeypatch):
    env = write(tmp_path / "mine.yaml", "train: {max_iter: 1, bootstrap_resamples: 200, elastic_net: 0.5}")
    monkeypatch.setenv("IRBIS_TRAIN__MAX_ITER", "2")
    monkeypatch.setenv("IRBIS_TRAIN__BOOTSTRAP_RESAMPLES", "300")
    origins = load_sourced_values(env, {"train.max_iter": "3"})
    assert origins["train.max_iter"] == SourcedValue("3", "--set")
    assert origins["train.bootstrap_resamples"] == SourcedValue(
        "300", "environment variable IRBIS_TRAIN__BOOTSTRAP_RESAMPLES"
    )
    assert origins["train.elastic_net"] == SourcedValue(0.5, env)
    assert origins["train.gate_metric"] == SourcedValue("balanced_accuracy", "conf/base.yaml")
    train = load_settings(env, {"train.max_iter": "3"}).train
    assert (train.max_iter, train.bootstrap_resamples, train.elastic_net) == (3, 300, 0.5)


def test_every_fault_is_named_at_once_with_its_source_and_the_nearest_key(tmp_path, monkeypatch):
    env = write(tmp_path / "prod.yaml", "featurize: {batchsize: 4}\ntrain: {max_iter: many}\nscore: 3")
    monkeypatch.setenv("IRBIS_SORCES__IMAGES", "x")
    assert faults(env, {"images.resize_mode": "stretch", "zzz": 1}) == [
        f"{env} has an unknown key 'featurize.batchsize'. Did you mean 'featurize.batch_size'?",
        f"{env}: 'score' is a section, not a setting. Set what is in it, such as 'score.model_version'.",
        "environment variable IRBIS_SORCES__IMAGES has an unknown key 'sorces.images'. Did you mean 'sources.images'?",
        "--set has an unknown key 'zzz'. `irbis config` lists the known ones.",
        "--set: images.resize_mode = 'stretch' is refused: input should be 'squash', 'crop' or 'pad'.",
        f"{env}: train.max_iter = 'many' is refused: "
        "input should be a valid integer, unable to parse string as an integer.",
    ]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("train.fractions", "0.5,0.6,0.2", "train, validation and test must sum to 1, not 1.3"),
        ("train.fractions", "[1, 0, 0]", "input should be less than 1"),
        ("images.max_megabytes", "inf", "input should be a finite number"),
        ("images.crop_bottom", 1, "input should be less than 1"),
        ("train.max_iter", 2.5, "input should be a valid integer, got a number with a fractional part"),
        ("workspace", "", "string should have at least 1 character"),
        ("workspace", "null", "input should be a valid string"),
        ("report.title", 5, "input should be a valid string"),
        ("sources.extensions", "", "should have at least 1 item after validation, not 0"),
        ("sources.labels", "folder:0", "expected folder, folder:N (from 1; -1 is the last), none or a file"),
        ("sources.station", "folder", "expected none, exif, folder:N (from 1; -1 is the last) or regex:PATTERN"),
        ("sources.station", "regex:(", "it is no regular expression: missing ), unterminated subpattern at position 0"),
        ("sources.station", "regex:S[0-9]+", "the pattern should have a group, such as regex:/(S[0-9]+)_"),
        ("featurize.views", "motion", "the first view is whole, such as whole,motion"),
        ("featurize.views", "", "the first view is whole, such as whole,motion"),
        ("featurize.views", "whole,motion,motion", "a view is repeated, which adds nothing"),
        ("featurize.views", "whole,crop", "it names 'crop'; expected whole, motion, motion_statistics, detection"),
        ("spark.conf", "{", "expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("spark.conf", {"a": {"b": 1}}, "'a' should be text, a number, true or false, not {\"b\": 1}"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_reason(key, value, reason):
    assert reason in faults(None, {key: value})[0]
    assert faults(None, {key: value})[0].startswith(f"--set: {key} = ")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.fractions", "0.5,0.2,0.3", [0.5, 0.2, 0.3]),
        ("train.fractions", "[0.5, 0.2, 0.3]", [0.5, 0.2, 0.3]),
        ("sources.extensions", "jpg", ["jpg"]),
        ("sources.extensions", '["jpg", "png"]', ["jpg", "png"]),
        ("sources.extensions", "['jpg','png']", ["jpg", "png"]),
        ("train.exclude_labels", "", []),
        ("train.exclude_labels", "[1, 2]", ["1", "2"]),
        ("train.exclude_labels", '["cat, black", "dog"]', ["cat, black", "dog"]),
        ("train.exclude_labels", '"unsure"', ["unsure"]),
        ("featurize.views", "whole,motion", ["whole", "motion"]),
        ("images.size", "null", None),
        ("images.size", "225", 225),
        ("sources.images", "50% off [x]", "50% off [x]"),
        ("score.model_version", "7", "7"),
        ("workspace", "dbfs:/irbis", "dbfs:///irbis"),
        ("workspace", "file:///data/irbis", "/data/irbis"),
        ("workspace", "abfss://a@acc.dfs.core.windows.net/c/", "abfss://a@acc.dfs.core.windows.net/c"),
        ("spark.conf", '{"spark.ui.port": 4050}', {"spark.ui.port": 4050}),
    ],
)
def test_a_text_means_the_same_in_a_variable_and_after_set(key, text, expected, monkeypatch):
    def value(settings):
        for name in key.split("."):
            settings = getattr(settings, name)
        return settings

    assert value(load_settings(None, {key: text})) == expected
    monkeypatch.setenv("IRBIS_" + key.replace(".", "__").upper(), text)
    assert value(load_settings()) == expected


def test_columns_of_labels_are_named_one_by_one_or_as_a_mapping(monkeypatch):
    monkeypatch.setenv("IRBIS_SOURCES__COLUMNS", '{"path": "File"}')
    chosen = load_settings(None, {"sources.columns.label": "A|B+C"}).sources.columns
    assert chosen == {"path": "File", "label": "A|B+C"}
    with pytest.raises(SettingsError, match=r"sources\.columns = .*: it names 'labels'; expected path, label,"):
        load_settings(None, {"sources.columns.labels": "x"})
    with pytest.raises(SettingsError, match=r"label needs the name of a column"):
        load_settings(None, {"sources.columns.label": ""})


def test_spark_conf_takes_names_with_dots_and_keeps_what_was_there(tmp_path, monkeypatch):
    env = write(tmp_path / "mine.yaml", "spark: {conf: {spark.ui.port: 4040, spark.a: x}}")
    overrides = {"spark.conf.spark.ui.port": "4050", "spark.conf.spark.sql.ansi.enabled": "true"}
    expected = {"spark.ui.port": "4050", "spark.a": "x", "spark.sql.ansi.enabled": "true"}
    assert load_settings(env, overrides).spark.conf == expected
    monkeypatch.setenv("IRBIS_SPARK__CONF", '{"spark.b": true}')
    assert load_settings(env, {"spark.conf.spark.c": 1}).spark.conf == {"spark.b": True, "spark.c": 1}
    monkeypatch.setenv("IRBIS_SPARK__CONF", "{")
    assert "IRBIS_SPARK__CONF" not in faults(env, {"spark.conf.spark.c": 1})[0]


def test_an_environment_is_named_by_a_variable_too(tmp_path, monkeypatch):
    monkeypatch.setenv("IRBIS_ENV", write(tmp_path / "mine.yml", "report: {title: Mine}"))
    assert load_settings().report.title == "Mine"
    assert load_settings("dev").report.title == "irbis report"


def test_an_unknown_environment_names_those_known():
    names = sorted(path.stem for path in conf_dir().glob("*.yaml") if path.stem != "base")
    expected = f"--env prodd: there is no conf/prodd.yaml. Known: {', '.join(names)}, or give a path to a .yaml file."
    assert faults("prodd") == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"train:\n  max_iter: 3\n bad: [\n", "{} line 3 is not valid YAML for settings: expected <block end>"),
        (
            b"train: {max_iter: 3}\nreport: {}\ntrain: {bootstrap_resamples: 100}",
            "{} line 3 is not valid YAML for settings: duplicate key 'train'",
        ),
        (b"train:\n\tmax_iter: 3\n", "{} line 2 is not valid YAML"),
        (b"report:\n  title: \xe9\n", "{} cannot be read: 'utf-8' codec can't decode byte 0xe9"),
        (b"- a\n- b\n", "{} must hold settings by name, not a list."),
    ],
)
def test_a_file_that_is_no_yaml_of_settings_is_named_with_its_line(text, expected, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text)
    assert faults(str(path))[0].startswith(expected.format(path))


def test_a_section_with_all_its_lines_commented_out_says_nothing(tmp_path):
    env = write(tmp_path / "mine.yaml", "train:\n  # max_iter: 3\n\nreport:\n")
    assert load_settings(env) == load_settings()


def test_base_yaml_has_every_setting_and_nothing_else():
    tree = yaml.safe_load((conf_dir() / "base.yaml").read_text(encoding="utf-8"))
    assert [key for key, _ in flatten(tree)] == setting_keys()


def test_base_yaml_says_what_every_setting_does():
    lines = (conf_dir() / "base.yaml").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if re.match(r" *\w+: *[^#\s]", line)]
    assert len(settings) == len(setting_keys())
    assert [line for line in settings if "  # " not in line] == []


def test_settings_cannot_be_changed_after_loading():
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.train.max_iter = 3


def test_a_value_that_looks_like_a_date_and_is_none_is_told(tmp_path):
    said = faults(write(tmp_path / "mine.yaml", "report:\n  title: 2026-13-45\n"))[0]
    assert said.endswith("mine.yaml cannot be read: month must be in 1..12.")


def test_of_a_mapping_in_both_the_items_are_laid_over_one_by_one():
    lower = {"spark.conf": SourcedValue('{"a": "1", "b": "1"}', "below"), "train.cv_folds": SourcedValue(3, "below")}
    upper = {"spark.conf": SourcedValue({"b": "2"}, "above")}
    found = overlay_settings(lower, upper)
    assert found == {
        "spark.conf": SourcedValue({"a": "1", "b": "2"}, "above"),
        "train.cv_folds": SourcedValue(3, "below"),
    }
    assert overlay_settings(lower, {"spark.conf": SourcedValue("{", "above")})["spark.conf"].value == "{"


@pytest.mark.parametrize(("old", "new"), FORMER_NAMES.items())
def test_a_former_name_is_refused_with_the_new_one(old, new):
    assert faults(None, {old: 1}) == [f"--set has an unknown key '{old}'. Did you mean '{new}'?"]
    assert new in setting_keys() and old not in setting_keys()
