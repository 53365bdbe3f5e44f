"""`irbis export-model`: a folder that is complete or not there, and whose README says what works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.cli.app import main
from pipelines.errors import DataError
from pipelines.serving.description import Description
from pipelines.stages import export_model as module
from pipelines.stages.export_model import export_model
from pipelines.tracking.served_files import predictor_folder

from ..serving.models import PHOTOS, write


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    """Return a folder as MLflow stores it, with the served model irbis/3."""
    folder = tmp_path_factory.mktemp("registered")
    write(predictor_folder(folder / "serving"), folder / "cache")
    (folder / "serving" / "MLmodel").write_text("flavors: {}\n")
    (folder / "serving" / "MLmodel").chmod(0o600)
    return folder / "serving"


@pytest.fixture
def champion(registered, monkeypatch) -> None:
    """Let the champion be irbis/3."""

    @contextmanager
    def open_champion(settings):
        yield "irbis/3", registered

    monkeypatch.setattr(module, "open_served_model", open_champion)


def test_the_folder_has_the_model_and_a_readme_and_nothing_is_left_beside_it(
    champion, registered, make_settings, tmp_path
):
    os.umask(mask := os.umask(0))
    target = tmp_path / "to" / "laptop"
    line = export_model(target, make_settings())
    assert re.fullmatch(rf"export-model: irbis/3, [\d.]+ MB in {target}\. Next: {target}/README\.md", line)
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "model"]
    assert [path.name for path in target.parent.iterdir()] == ["laptop"]
    files = {path.relative_to(target / "model") for path in (target / "model").rglob("*") if path.is_file()}
    assert files == {path.relative_to(registered) for path in registered.rglob("*") if path.is_file()}
    assert (target / "model" / "MLmodel").stat().st_mode & 0o777 == 0o666 & ~mask  # others may read it


def test_the_readme_names_the_model_its_labels_and_its_limits(champion, make_settings, tmp_path):
    export_model(tmp_path / "laptop", make_settings())
    text = (tmp_path / "laptop" / "README.md").read_text("utf-8")
    assert text.startswith("# irbis/3: image in, label out\n")
    for words in ("`plain`, `striped`", "`irbis_tiny`", "side=320", "0.0954 MiB and 1 megapixels"):
        assert words in text, words
    assert "$" not in text
    assert "pip install 'irbis[serve]'\n" in text


@pytest.mark.process
def test_the_readmes_programs_run(champion, make_settings, tmp_path):
    """Those without MLflow, whose server tests/deploy/test_azureml_server.py starts."""
    export_model(tmp_path / "laptop", make_settings())
    for i in (1, 2):
        (tmp_path / "laptop" / f"IMG_000{i}.JPG").write_bytes(PHOTOS[i])
    text = (tmp_path / "laptop" / "README.md").read_text("utf-8")
    program = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Predictor.load" in block)
    (command,) = re.findall(r"^    python -c '(.*)' > image\.txt$", text, re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[2])}
    for code in (program, command):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "laptop", env=environment
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(("plain ", "striped ", "/9j/"))


def test_an_empty_folder_is_filled_and_any_other_refused(champion, make_settings, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert export_model(Path("."), make_settings()).endswith("MB in .. Next: README.md")
    assert sorted(os.listdir(".")) == ["README.md", "model"]
    with pytest.raises(DataError, match=r"empty exists and is not an empty folder\. Give the name of a new one\."):
        export_model(tmp_path / "empty", make_settings())
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file exists and is not an empty folder"):
        export_model(tmp_path / "file", make_settings())


def test_a_full_disk_leaves_nothing(champion, make_settings, tmp_path, monkeypatch):
    def fail(*_: object) -> Description:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Description, "read", fail)
    with pytest.raises(OSError, match="No space left"):
        export_model(tmp_path / "laptop", make_settings())
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_without_a_champion_is_explained(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export-model", str(tmp_path / "laptop"), "--workspace", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "irbis: Model irbis has no version champion. Run `irbis train` first." in capsys.readouterr().err
    assert not (tmp_path / "laptop").exists() and not (tmp_path / "none").exists()
