"""The workspaces that the killed commands begin from: a survey after each stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ..stages.conftest import survey_images
from .killing import copy_of, options, run_apart, run_here


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the ledger of whoever runs the tests out of it."""
    monkeypatch.setenv("IRBIS_RUNS__HISTORY_DIR", str(tmp_path / "ledger"))


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 180 images of two stations, and two files that are none."""
    folder = tmp_path_factory.mktemp("kills") / "survey"
    for name, content in {**survey_images(), "S0/plain/empty.jpg": b"", "S1/plain/cut.jpg": b"\xff\xd8\xff"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def whole_survey(survey: Path) -> Path:
    """Return the same folder without the two files, whose upload is refused."""
    folder = survey.with_name("whole survey")
    shutil.copytree(survey, folder, ignore=shutil.ignore_patterns("empty.jpg", "cut.jpg"))
    return folder


@pytest.fixture(scope="session", autouse=True)
def _first_command(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run a command once: the first in an environment keeps Java's classes for later ones, which takes a minute."""
    folder = tmp_path_factory.mktemp("first")
    run_apart(
        "ingest",
        *options(survey, folder / "workspace"),
        folder=folder,
        env={"IRBIS_RUNS__HISTORY_DIR": str(folder / "ledger")},
    )


class Stages:
    """Make the workspace after each stage when it is asked for, by the stage's name; "nothing" is before the first."""

    ORDER = ("nothing", "ingest", "featurize", "train", "score", "report")

    def __init__(self, survey: Path, folder: Path):
        self.survey, self.folder = survey, folder
        (folder / "nothing").mkdir()

    def __getitem__(self, stage: str) -> Path:
        workspace = self.folder / stage
        if not workspace.exists():
            before = self[self.ORDER[self.ORDER.index(stage) - 1]]
            run_here(stage, *options(self.survey, copy_of(before, workspace)))
        return workspace


@pytest.fixture(scope="session")
def stages(spark, survey: Path, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """Return the workspaces after each stage."""
    return Stages(survey, tmp_path_factory.mktemp("stages"))


@pytest.fixture
def uploaded(container, survey: Path):
    """Return the client of a container that holds the survey."""
    for file in survey.rglob("*"):
        if file.is_file():
            container.upload_blob(str(file.relative_to(survey)), file.read_bytes())
    return container
