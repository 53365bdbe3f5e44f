"""Weights and preprocessing reproduce the published accuracy on photos of ImageNet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.backbones.registry import get_architecture
from pipelines.backbones.state_dict import load_weights, read_state_dict
from pipelines.images.decode import decode
from pipelines.images.preprocess import Preprocessing

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, as threads wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Return 200 photos, one of every fifth class, normalised, with their classes."""
    folder = shared_data / "imagenet_check"
    if not (folder / "labels.csv").is_file():
        pytest.skip(f"needs the photos in {folder}")
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    preprocessing = Preprocessing(resize_mode="crop", size=224, resize=256)
    pixels = [preprocessing.apply(decode((folder / row["file_name"]).read_bytes(), max_pixels=10**8)) for row in rows]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return (images - MEAN) / STD, np.array([int(row["class_index"]) for row in rows])


@pytest.mark.parametrize(("name", "top_1", "top_5"), [("squeezenet1_1", 65.5, 85.0), ("mobilenet_v2", 74.5, 94.5)])
def test_the_full_network_knows_the_photos_of_imagenet(
    name: str, top_1: float, top_5: float, photos: tuple[torch.Tensor, np.ndarray], shared_data: Path
) -> None:
    file = shared_data / "backbones" / f"{name}_imagenet.safetensors"
    if not file.is_file():
        pytest.skip(f"needs the weights {file}")
    network = get_architecture(name).build()
    load_weights(network, read_state_dict(file.read_bytes(), name), name)
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, classes = photos
    with torch.inference_mode():
        best = torch.cat([network(batch).topk(5).indices for batch in images.split(4)]).numpy()
    hits = best == classes[:, None]
    assert len(classes) == 200
    assert 100 * hits[:, 0].mean() == pytest.approx(top_1, abs=0.5)
    assert 100 * hits.any(axis=1).mean() == pytest.approx(top_5, abs=0.5)
