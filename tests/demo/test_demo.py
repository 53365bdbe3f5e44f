from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from pipelines.config.loader import SourcedValue, load_sourced_values
from pipelines.demo import demo
from pipelines.demo.demo import next_steps, with_sample_set
from pipelines.demo.sample_set import MIN_IMAGES, render_sample_set


def chosen(**overrides: str) -> dict[str, SourcedValue]:
    return with_sample_set(
        load_sourced_values(None, {key.replace("__", "."): value for key, value in overrides.items()})
    )


def test_the_sample_set_is_drawn_once_into_the_demos_own_workspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "render_sample_set", partial(render_sample_set, images=MIN_IMAGES))
    settings = chosen()
    place = tmp_path / "irbis-workspace-sample" / "sample"
    assert capsys.readouterr().err == f"demo: drawing 504 camera-trap images into {place}\n"
    assert settings["workspace"] == SourcedValue("irbis-workspace-sample", "irbis demo")
    assert settings["sources.station"] == SourcedValue("folder:1", "irbis demo")
    folder, labels = Path(settings["sources.images"].value), Path(settings["sources.labels"].value)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder == place / "images" and len(files) == MIN_IMAGES + 9  # bad files, copies
    assert labels.is_file()
    times = {path: path.stat().st_mtime_ns for path in files}
    chosen()
    assert capsys.readouterr().err == ""
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == times


def test_own_images_keep_their_labels_rule_and_get_a_workspace_named_after_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = chosen(sources__images=str(tmp_path / "autumn 2024"))
    assert settings["workspace"].value == "irbis-workspace-autumn 2024"
    assert settings["sources.labels"].source == settings["sources.station"].source == "conf/base.yaml"
    assert list(tmp_path.iterdir()) == []


class SampleSet:
    def __init__(self, folder: Path) -> None:
        self.images_folder, self.labels_csv = folder / "images", folder / "labels.csv"


@pytest.mark.parametrize(
    ("images", "called", "is_on_path", "command"),
    [
        (None, ".venv/bin/irbis", False, "your images, one folder per label: .venv/bin/irbis run --images DIR"),
        (None, "/opt/bin/irbis", True, "your images, one folder per label: irbis run --images DIR"),
        (None, "/x/pipelines/cli/__main__.py", False, "your images, one folder per label: irbis run --images DIR"),
        (
            "autumn 2024",
            "irbis",
            True,
            "new images, which need no labels: irbis score --workspace 'irbis-workspace-autumn 2024' --images DIR",
        ),
    ],
)
def test_the_next_steps_are_the_report_ones_own_images_and_the_quickstart(
    tmp_path, monkeypatch, images, called, is_on_path, command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.sys, "argv", [called])
    monkeypatch.setattr(demo.shutil, "which", lambda _: "/opt/bin/irbis" if is_on_path else None)
    monkeypatch.setattr(demo, "render_sample_set", lambda folder, **_: SampleSet(folder))
    origins = chosen(**({"sources__images": images} if images else {}))
    name = images or "sample"
    assert next_steps(origins) == [
        f"Next: look at the report: irbis-workspace-{name}/reports/report.html",
        f"      {command}",
        "      step by step: docs/quickstart.md",
    ]


@pytest.mark.parametrize("workspace", ["here", "/elsewhere/work"])
def test_a_workspace_that_was_named_stays(workspace, tmp_path):
    settings = chosen(sources__images=str(tmp_path), workspace=workspace)
    assert settings["workspace"].value == workspace
