from __future__ import annotations

import os
import sys

import pytest

from pipelines.models.backbones import backbones_of
from pipelines.stages import doctor

THINGS = ["python", "java", *doctor.PACKAGES, "memory", "gpu", "weights", "workspace", "cache", "spark"]


def test_on_this_machine_all_is_well(spark, make_settings, tmp_path):
    settings = make_settings({"featurize.weights_cache": str(tmp_path / "cache")})
    found = {finding.name: finding for finding in doctor.examine(settings)}
    assert list(found) == THINGS
    assert [finding.line() for finding in found.values() if not finding.is_ok] == []
    assert sys.executable in found["python"].detail
    assert found["spark"].detail.startswith(f"{spark.version} on local[2] with Delta; no tables yet")
    assert list((tmp_path / "workspace").glob(".probe*")) == []


@pytest.mark.parametrize(
    ("change", "name", "remedy"),
    [
        ({"featurize.weights": "nowhere.pth"}, "weights", "there is no such file"),
        ({"featurize.backbone": "irbis_tiny+"}, "weights", "beside a + a name is missing"),
        ({"workspace": "/proc/irbis"}, "workspace", "/proc/irbis cannot be written: "),
        ({"featurize.weights_cache": "/dev/null/cache"}, "cache", "Choose another."),
    ],
)
def test_what_is_wrong_fails_alone_and_says_what_to_do(spark, make_settings, change, name, remedy):
    failed = [finding for finding in doctor.examine(make_settings(change)) if not finding.is_ok]
    assert [finding.name for finding in failed] == [name]
    assert remedy in failed[0].line() and failed[0].line().startswith("FAIL  ")


def test_of_backbones_side_by_side_all_weights_are_named(make_settings):
    settings = make_settings({"featurize.backbone": "irbis_tiny+raw_pixels"})
    tiny, pixels = (each.identity for each in backbones_of(settings))
    assert doctor._finding("weights", lambda: doctor._weights(settings)).detail == f"{tiny}, {pixels}"


def test_little_memory_old_python_and_a_package_that_is_not_there_are_told(monkeypatch):
    real = os.sysconf
    monkeypatch.setattr(os, "sysconf", lambda name: 2**18 if name == "SC_PHYS_PAGES" else real(name))
    memory = doctor._finding("memory", doctor._memory)
    assert not memory.is_ok and memory.detail.startswith("1.0 GiB, 4 wanted: lower spark.driver_memory")
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert doctor._finding("python", doctor._python).detail.startswith("3.9.1 at ")
    lacking = doctor._finding("x", lambda: doctor.importlib.metadata.version("no-such-package"))
    assert (lacking.is_ok, lacking.detail) == (False, "not installed: pip install x")
