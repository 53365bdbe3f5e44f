"""A real cluster for the tests that have the time for one, and the command as a user runs it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..end_to_end.conftest import _ledger, irbis
from .yarn_livy import Cluster, cluster, packed_environment

__all__ = ["_ledger", "irbis"]

CHEAP = {"train.cv_folds": 2, "train.bootstrap_resamples": 100, "train.reg_params": 0.1, "report.gallery_size": 2}


@pytest.fixture(scope="session")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return YARN and Livy, running for all tests, with a packed environment."""
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        packed_environment(running.folder / "environment.tar.gz")
        yield running


@pytest.fixture(scope="session")
def images(yarn: Cluster, shared_data: Path) -> Path:
    """Return the first fifty images of each class of trashnet, where the cluster can read them."""
    return _copied(shared_data, yarn.shared / "images", 50)


@pytest.fixture(scope="session")
def few_images(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Return the first twenty images of each class of trashnet."""
    return _copied(shared_data, tmp_path_factory.mktemp("images"), 20)


@pytest.fixture(scope="session")
def weights(shared_data: Path) -> Path:
    """Return the weights of squeezenet1_1."""
    return next((shared_data / "backbones").rglob("squeezenet1_1*.safetensors"))


def _copied(shared_data: Path, target: Path, many: int) -> Path:
    for label in sorted((shared_data / "trashnet").glob("*/")):
        there = target / label.name
        there.mkdir(parents=True)
        for image in sorted(label.glob("*.jpg"))[:many]:
            shutil.copy(image, there)
    return target


@pytest.fixture
def words(yarn: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the settings of every command: a workspace in the folder that cluster and laptop share."""
    monkeypatch.setenv("IRBIS_HDINSIGHT__URL", yarn.url)
    monkeypatch.setenv("IRBIS_HDINSIGHT__ARCHIVE", str(yarn.folder / "environment.tar.gz"))
    monkeypatch.setenv("IRBIS_RUNS__POLL_SECONDS", "1")
    return ["--workspace", str(yarn.shared / tmp_path.name), *(f"--set={key}={value}" for key, value in CHEAP.items())]
