"""Graphs that ship with the package: equal to a conversion of the weights, and enough without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.backbones import load_backbone
from pipelines.cli.app import main
from pipelines.engines import engine, graph, load_or_convert, packaged_graphs, require_packages
from pipelines.engines.conversion import convert_to_openvino
from pipelines.engines.packaged_graphs import find_packaged_graph, read_packaged_graph
from pipelines.engines.quantization.calibration_images import calibration_images, compute_features
from pipelines.errors import PlatformError, SettingsError, WeightsError

NAMES = ("irbis_tiny", "raw_pixels")
INSTALL = r"which is not installed: pip install 'irbis\[torch\]', or `make full` in a clone\.$"


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "torchvision", "pipelines.engines.conversion"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_packaged_graph_equals_a_conversion_of_the_weights(name: str, tmp_path: Path) -> None:
    backbone = load_backbone(name)
    folder = find_packaged_graph(backbone)
    assert folder is not None, "run `make graphs` and commit what it writes"
    packaged, converted = read_packaged_graph(folder), convert_to_openvino(backbone, tmp_path)
    assert packaged.bin == converted.bin
    images = calibration_images(4, backbone.preprocessing.size)
    found, expected = (compute_features(each.to_model(), images) for each in (packaged, converted))
    assert np.abs(found - expected).max() <= 1e-6
    assert not packaged.has_bfloat16 and not packaged.needs_vnni  # every processor runs it


def test_no_other_graph_is_packaged() -> None:
    folders = {find_packaged_graph(load_backbone(name)) for name in NAMES}
    assert set((Path(packaged_graphs.__file__).parents[1] / "_data" / "graphs").iterdir()) == folders


@pytest.mark.parametrize("changes", [{"size": 224}, {"mean": (0.4, 0.5, 0.5)}, {"std": (0.2, 0.25, 0.25)}])
def test_a_graph_belongs_to_its_size_and_normalisation(changes: dict[str, Any]) -> None:
    assert find_packaged_graph(load_backbone("irbis_tiny", **changes)) is None
    assert find_packaged_graph(load_backbone("irbis_tiny", resize_mode="crop", crop_bottom=0.1)) is not None


def test_a_graph_belongs_to_its_weights() -> None:
    own = load_backbone("irbis_tiny")
    assert find_packaged_graph(replace(own, weights=own.weights + b" ")) is None
    assert find_packaged_graph(own.without_weights()) is not None


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_without_torch_the_default_backbone_is_prepared_for_this_processor(tmp_path: Path, precision: Any) -> None:
    backbone = load_backbone("irbis_tiny", precision=precision)
    prepared = load_or_convert(backbone, str(tmp_path))
    assert load_or_convert(backbone, str(tmp_path)) == prepared
    assert (b"FakeQuantize" in prepared.xml) is (precision == "fast")


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize("file", [graph.XML, graph.BIN, graph.CHECKSUMS])
def test_a_damaged_packaged_graph_is_refused_by_name(tmp_path: Path, monkeypatch: Any, file: str) -> None:
    backbone = load_backbone("irbis_tiny")
    source = find_packaged_graph(backbone)
    assert source is not None
    folder = tmp_path / source.name
    shutil.copytree(source, folder)
    (folder / file).write_bytes(b"x" + (folder / file).read_bytes()[1:])
    monkeypatch.setattr(packaged_graphs, "resource_dir", lambda _: tmp_path)
    with pytest.raises(WeightsError, match=rf"^{folder} is damaged \(graph\.\w+ has .*\): reinstall this package\.$"):
        load_or_convert(backbone, str(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"featurize.precision": "fast"},
        {"featurize.backbone": "irbis_tiny+raw_pixels"},
        {"featurize.device": "cpu", "featurize.engine": "openvino", "images.resize_mode": "pad"},
    ],
)
@pytest.mark.usefixtures("no_torch")
def test_the_packaged_backbones_need_no_torch(
    make_settings: Callable[..., Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    require_packages(make_settings({"featurize.weights_cache": str(tmp_path), **changes}))


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"featurize.backbone": "mobilenet_v2"}, "featurize.backbone = mobilenet_v2"),
        ({"featurize.backbone": "irbis_tiny+resnet18"}, "featurize.backbone = resnet18"),
        ({"images.size": 96}, "featurize.backbone = irbis_tiny with other weights or another images.size"),
        ({"featurize.engine": "torch"}, "featurize.engine = torch"),
        ({"featurize.device": "cuda"}, "featurize.device = cuda"),
    ],
)
def test_what_needs_torch_says_so_and_how_to_install_it(
    make_settings: Callable[..., Any], no_torch: None, tmp_path: Path, changes: dict[str, Any], setting: str
) -> None:
    settings = make_settings({"featurize.weights_cache": str(tmp_path), **changes})
    with pytest.raises(PlatformError, match=rf"^{setting} needs torch, {INSTALL}"):
        require_packages(settings)


def test_a_graph_in_the_cache_needs_no_torch(
    make_settings: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings({"featurize.weights_cache": str(tmp_path), "images.size": 64})
    load_or_convert(load_backbone("irbis_tiny", size=64), str(tmp_path))
    for name in ("torch", "torchvision"):
        monkeypatch.setitem(sys.modules, name, None)
    require_packages(settings)


@pytest.mark.parametrize("command", ["run", "featurize"])
def test_a_run_without_the_torch_it_needs_does_no_work(
    no_torch: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "survey").mkdir()
    with pytest.raises(SystemExit) as end:
        main([command, "--images", "survey", "--backbone", "resnet18", "--set", f"featurize.weights_cache={tmp_path}"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("irbis: featurize.backbone = resnet18 needs torch, which is not")
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]


@pytest.mark.usefixtures("no_torch")
def test_without_torch_only_a_gpu_that_spark_assigned_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "has_nvidia_driver", lambda: True)
    assert engine._choose_device("auto", ()) == engine._choose_device("cpu", ("0",)) == "cpu"
    with pytest.raises(PlatformError, match=rf"^featurize.device = auto on a GPU needs torch, {INSTALL}"):
        engine._choose_device("auto", ("0",))


@pytest.mark.usefixtures("no_torch")
def test_without_openvino_every_backbone_needs_torch(
    make_settings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(PlatformError, match=rf"^featurize.engine = auto without OpenVINO needs torch, {INSTALL}"):
        require_packages(make_settings())
    with pytest.raises(SettingsError, match=r"^featurize.engine = openvino, which is not installed\."):
        require_packages(make_settings({"featurize.engine": "openvino"}))


@pytest.mark.process
def test_features_of_the_default_backbone_never_import_torch(tmp_path: Path) -> None:
    """In a process in which torch cannot be imported, with the modules of driver and worker."""
    program = f"""
import sys
sys.modules.update({{"torch": None, "torchvision": None}})
import numpy as np
import pipelines.doctor, pipelines.stages.featurize.stage
from pipelines.backbones import load_backbone
from pipelines.engines import EngineFactory, load_or_convert
backbone = load_backbone("irbis_tiny")
graph = load_or_convert(backbone, {str(tmp_path)!r})
engine = EngineFactory(backbone.without_weights(), lambda: b"", lambda: graph, graph.digest).get("auto")
print(engine(np.zeros((2, 160, 160, 3), np.uint8)).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("(2, 576)\n", 0), done.stderr
