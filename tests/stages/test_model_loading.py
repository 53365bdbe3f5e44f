"""Write access to the workspace must not allow running code: models are checked before they are loaded."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from pyspark.ml import PipelineModel

from pipelines.classifiers.transformers import ArrayToVector, TemperatureScaling
from pipelines.errors import ModelError
from pipelines.runs.recorder import record_run
from pipelines.stages.report import stage as report
from pipelines.stages.result import StageResult
from pipelines.stages.score import stage as score
from pipelines.stages.train import stage as train
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.model_files import OWN_CLASSES, find_fault
from pipelines.tracking.stored_models import DIGEST_TAG

from .conftest import changed

HOSTILE = """
import pathlib
pathlib.Path({marker!r}).touch()
from pipelines.classifiers.transformers import ArrayToVector
class Stage(ArrayToVector):
    pass
"""


@pytest.fixture
def model(trained):
    """Return the folder of the champion's files in the workspace."""
    (file,) = Path(trained.workspace, "artifacts").rglob("model/MLmodel")
    return file.parent


@pytest.fixture
def marker(tmp_path):
    """Return the file that a hostile module writes; the module is re-imported in every test."""
    sys.modules.pop("hostile", None)
    yield tmp_path / "ran"
    sys.modules.pop("hostile", None)
    sys.path[:] = [each for each in sys.path if not Path(each, "hostile.py").exists()]


def write_code(folder, marker):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hostile.py").write_text(HOSTILE.format(marker=str(marker)))


def describe(model, change):
    described = yaml.safe_load((model / "MLmodel").read_text())
    change(described["flavors"])
    (model / "MLmodel").write_text(yaml.safe_dump(described))


def rewrite(model, stage, **values):
    (folder,) = model.glob(f"sparkml/{stage}")
    written = json.loads((folder / "metadata/part-00000").read_text())
    (folder / "metadata/part-00000").write_text(json.dumps({**written, **values}))
    (folder / "metadata/.part-00000.crc").unlink(missing_ok=True)


def add_code(model, marker):
    """Do what the review did: two edited text files and a folder of code."""
    write_code(model / "code", marker)
    describe(model, lambda flavors: flavors["spark"].update(code="code"))
    rewrite(model, "stages/0_*", **{"class": "hostile.Stage"})


def on_the_path(model, marker):
    write_code(marker.parent / "elsewhere", marker)
    sys.path.insert(0, str(marker.parent / "elsewhere"))
    rewrite(model, "stages/0_*", **{"class": "hostile.Stage"})


def outside(model, marker):
    """Make the pipeline refer to a stage outside the folder of the model."""
    (stage,) = model.glob("sparkml/stages/0_*")
    shutil.copytree(stage, marker.parent / "stage")
    uid = f"x/../../../../../../../../../../../..{marker.parent / 'stage'}"
    (stage.parent / "0_x").mkdir()
    rewrite(model, ".", paramMap={"language": "Python", "stageUids": [uid]})


def second_file(model, marker):
    """Make Spark find another first line than the one in part-00000."""
    (stage,) = model.glob("sparkml/stages/0_*")
    shutil.copy(stage / "metadata/part-00000", stage / "metadata/a-part")
    on_the_path(model, marker)


def no_python(model, marker):
    written = json.loads((model / "sparkml/metadata/part-00000").read_text())
    rewrite(model, ".", paramMap={"stageUids": written["paramMap"]["stageUids"]})


def weights(model, marker):
    (file,) = model.glob("sparkml/stages/1_*/data/*.parquet")
    file.write_bytes(file.read_bytes() + b" ")


def requirements(model, marker):
    (model / "requirements.txt").write_text("irbis\nmalware\n")


def loader(model, marker):
    describe(model, lambda flavors: flavors["python_function"].update(loader_module="hostile"))


ATTACKS = [
    (add_code, "there is a folder `code`"),
    (lambda model, _: describe(model, lambda each: each["spark"].update(code="../x")), "MLmodel refers to code"),
    (loader, "MLmodel has the loader_module hostile"),
    (lambda model, _: describe(model, lambda each: each["spark"].update(model_data="/tmp")), "MLmodel names /tmp"),
    (lambda model, _: describe(model, lambda each: each.update(sklearn={})), "MLmodel has the flavor sklearn"),
    (on_the_path, "a stage is of the class hostile.Stage, which irbis does not use"),
    (outside, "a stage is called 'x/"),
    (second_file, "metadata of 0_ArrayToVector_.* is a-part, part-00000, not part-00000"),
    (no_python, "the pipeline is of the class"),
    (lambda model, _: rewrite(model, "stages/2_*", paramMap=None, **{"class": 5}), "a stage is of the class 5"),
]


@pytest.mark.parametrize(("attack", "reason"), ATTACKS)
def test_a_model_that_would_run_code_is_refused_before_any_of_it_is_read(spark, trained, model, marker, attack, reason):
    attack(model, marker)
    tracking = Tracking.of(trained)
    tracking.client.delete_model_version_tag("irbis", "1", f"irbis.{DIGEST_TAG}")  # its digest does not save it
    for load in (tracking.load, tracking.verify, lambda version: tracking.save(version, marker.parent / "copy")):
        with pytest.raises(ModelError, match=rf"^The files of irbis/1 are not loaded: .*{reason}"):
            load(tracking.champion())
    assert not marker.exists() and not (marker.parent / "copy").exists()


@pytest.mark.parametrize("attack", [weights, requirements, add_code])
def test_files_that_are_not_those_that_were_registered_are_refused(spark, trained, model, marker, attack):
    attack(model, marker)
    with pytest.raises(ModelError, match=r"(?s)Restore file://.*artifacts from a backup; or choose another version"):
        Tracking.of(trained).load(Tracking.of(trained).champion())
    reason = "their SHA-256 differs|a folder `code`"
    with pytest.raises(ModelError, match=f"The files of irbis/1 are not loaded: .*({reason})"):
        score.run(spark, trained)
    with pytest.raises(ModelError, match="The files of irbis/1 are not loaded"):  # before hours of fitting
        train.run(spark, changed(trained, "train", reg_params=[0.02]))
    assert [each.version for each in Tracking.of(trained).versions()] == ["1"]
    with (
        pytest.raises(ModelError, match="The files of irbis/1 are not loaded"),
        record_run(["run"], trained, {}) as recording,
    ):
        recording.attach_session(spark)
        recording.add(StageResult("train", artifacts={"model": "1"}))
    assert not marker.exists() and not list(Path(trained.workspace).glob("runs/*/model"))


def test_a_version_of_an_older_irbis_is_loaded_with_a_note(spark, trained, model, capfd, caplog):
    tracking = Tracking.of(trained)
    assert len(tracking.champion().tags[DIGEST_TAG]) == 64
    assert tracking.load(tracking.champion()).stages[-1].getOrDefault("temperature") > 0
    assert caplog.messages == []
    tracking.client.delete_model_version_tag("irbis", "1", f"irbis.{DIGEST_TAG}")
    tracking.load(tracking.champion())
    assert caplog.messages == ["note: irbis/1 was registered by an older irbis, without a digest of its files."]
    assert not any(Path(trained.workspace, "scratch").iterdir())


def test_files_that_are_gone_are_said_before_any_work(spark, trained, model):
    (model.parent / "evaluation.json").unlink()
    with pytest.raises(ModelError, match=r"^evaluation.json of irbis/1 is missing from file://.*Restore it .*; or"):
        report.run(spark, trained)
    shutil.rmtree(model)
    for run in (score.run, lambda *given: train.run(given[0], changed(trained, "train", reg_params=[0.02]))):
        with pytest.raises(ModelError, match=r"^MLmodel of irbis/1 is missing from file://.*--set tracking.model=NAME"):
            run(spark, trained)
    assert [each.version for each in Tracking.of(trained).versions()] == ["1"]


def test_the_list_of_classes_names_ours():
    assert tuple(f"{each.__module__}.{each.__name__}" for each in (ArrayToVector, TemperatureScaling)) == OWN_CLASSES


@pytest.mark.parametrize(
    "learner", [{"pca_components": 3}, {"classifier": "random_forest", "num_trees": 2, "max_depth": 2}]
)
def test_all_that_irbis_can_train_passes_the_checks(spark, settings, tmp_path, learner):
    train.run(spark, changed(settings, "train", **learner))
    tracking = Tracking.of(settings)
    assert isinstance(tracking.load(tracking.champion()), PipelineModel)
    tracking.save(tracking.champion(), tmp_path / "copy")
    assert find_fault(tmp_path / "copy", tracking.champion().tags[DIGEST_TAG]) == ""
