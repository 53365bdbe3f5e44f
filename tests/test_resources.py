"""The wheel, and the zip of it: everything is inside, and they run where there is no checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines import __version__
from pipelines.resources import resource_dir
from pipelines.tracking.code_version import code_version

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make build` does."""
    pytest.importorskip("hatchling")
    folder, scratch = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("scratch")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "TMPDIR": str(scratch)})
    assert list(scratch.iterdir()) == []
    return next(folder.glob("*.whl"))


def python(path: Path, folder: Path, *words: str) -> str:
    """Run Python in another folder, with the package from `path` and no settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IRBIS_")}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env={**kept, "PYTHONPATH": str(path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_conf_jobs_the_bundle_the_weights_and_its_commit(wheel):
    assert wheel.name == f"irbis-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        built = json.loads(archive.read("pipelines/build.json"))
    wanted = [*(ROOT / "conf").rglob("*.yaml"), *(ROOT / "jobs").glob("*.py")]
    wanted += [path for path in (ROOT / "deploy" / "databricks").rglob("*") if path.is_file()]
    assert {f"pipelines/_data/{path.relative_to(ROOT).as_posix()}" for path in wanted} <= names
    assert "pipelines/_data/weights/irbis_tiny.safetensors" in names
    graphs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipelines/_data/graphs").glob("*/graph.*")}
    assert len(graphs) == 6 and graphs <= names
    assert wheel.stat().st_size < 10 * 2**20
    assert built == {key: value for key, value in code_version().items() if key != "version"}
    assert re.match(r"[0-9a-f]{40}(\+changes)?$", built.get("git_commit", "0" * 40))


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_it_runs_from_another_folder_unpacked_and_as_the_zip_that_spark_takes(form, wheel, tmp_path):
    place = tmp_path / "irbis.zip" if form == "zip" else tmp_path / "unpacked"
    if form == "zip":
        place.write_bytes(wheel.read_bytes())
    else:
        zipfile.ZipFile(wheel).extractall(place)
    assert re.search(r"^tracking\.uri +\"databricks\" +conf/prod\.yaml$", config := _config(place, tmp_path), re.M), (
        config
    )
    jobs = json.loads(python(place, tmp_path, "-m", "pipelines.cli", "bundle", "render", "--target", "prod"))
    assert "nightly" in jobs
    said = json.loads(python(place, tmp_path, "-c", ASKED))
    assert said["code"] == {"version": __version__, **{k: v for k, v in code_version().items() if k != "version"}}
    assert said["metadata"] == __version__
    assert said["graph"] == 3083308
    assert said["weights"] == (resource_dir("weights") / "irbis_tiny.safetensors").stat().st_size
    assert said["file"].startswith(str(place))


def _config(place: Path, folder: Path) -> str:
    return python(place, folder, "-m", "pipelines.cli", "config", "--env", "prod")


ASKED = """
import importlib.metadata, json, pipelines
from pipelines.backbones import load_backbone
from pipelines.backbones.weights import find_weights
from pipelines.engines.packaged_graphs import find_packaged_graph, read_packaged_graph
from pipelines.tracking.code_version import code_version
weights = find_weights("irbis_tiny", None, "nowhere")
print(json.dumps({"code": code_version(), "metadata": importlib.metadata.version("irbis"),
                  "graph": len(read_packaged_graph(find_packaged_graph(load_backbone("irbis_tiny", check=False))).bin),
                  "weights": weights.stat().st_size, "file": pipelines.__file__}))
"""


def test_what_a_zip_unpacks_is_gone_when_the_process_ends(wheel, tmp_path):
    (tmp_path / "irbis.zip").write_bytes(wheel.read_bytes())
    program = "from pipelines.config.loader import conf_dir; print(conf_dir() == conf_dir(), conf_dir())"
    same, _, folder = python(tmp_path / "irbis.zip", tmp_path, "-c", program).strip().partition(" ")
    assert same == "True"
    assert not Path(folder).exists()
