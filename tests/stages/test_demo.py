from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.loader import SourcedValue, load_sourced_values
from pipelines.demo.demo import with_sample_set
from pipelines.demo.sample_set import IMAGES


def chosen(**overrides: str) -> dict[str, SourcedValue]:
    return with_sample_set(
        load_sourced_values(None, {key.replace("__", "."): value for key, value in overrides.items()})
    )


def test_the_sample_set_is_drawn_once_into_the_demos_own_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = chosen()
    assert settings["workspace"] == SourcedValue("irbis-workspace-sample", "irbis demo")
    assert settings["sources.station"] == SourcedValue("folder:1", "irbis demo")
    folder, labels = Path(settings["sources.images"].value), Path(settings["sources.labels"].value)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (
        folder == tmp_path / "irbis-workspace-sample" / "sample" / "images" and len(files) == IMAGES + 9
    )  # bad files, copies
    assert labels.is_file()
    times = {path: path.stat().st_mtime_ns for path in files}
    chosen()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == times


def test_own_images_keep_their_labels_rule_and_get_a_workspace_named_after_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = chosen(sources__images=str(tmp_path / "autumn 2024"))
    assert settings["workspace"].value == "irbis-workspace-autumn 2024"
    assert settings["sources.labels"].source == settings["sources.station"].source == "conf/base.yaml"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workspace", ["here", "/elsewhere/work"])
def test_a_workspace_that_was_named_stays(workspace, tmp_path):
    settings = chosen(sources__images=str(tmp_path), workspace=workspace)
    assert settings["workspace"].value == workspace
