"""Features of an image set by view and backbone, computed once and cached."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from labelled_sets import LabelledSet
from numpy.typing import NDArray
from PIL import Image

from pipelines.backbones import Backbone, load_backbone
from pipelines.backbones.backbone import Embedding, Pixels
from pipelines.engines import load_or_convert
from pipelines.engines.openvino_engine import OpenVinoEngine

Features = NDArray[np.float32]
View = Callable[[pd.DataFrame, Backbone], "list[Pixels | Embedding]"]
GRAPHS = "~/.cache/irbis/weights"


def whole(rows: pd.DataFrame, backbone: Backbone) -> list[Pixels | Embedding]:
    """Return the network's input of whole images."""
    return [backbone.load_pixels(Path(path).read_bytes()) for path in rows.path]


def motion(rows: pd.DataFrame, backbone: Backbone) -> list[Pixels | Embedding]:
    """Return the network's input of the crop of what moved; of the whole image where nothing did."""
    from pipelines.backbones.views import CroppedImage, ViewReader
    from pipelines.localisation.motion import find_motion
    from pipelines.localisation.squares import extend_to_full, square_around
    from pipelines.localisation.thumbnails import read_thumbnail

    bottom, contents = backbone.preprocessing.crop_bottom, [Path(path).read_bytes() for path in rows.path]
    thumbnails = [read_thumbnail(each, max_pixels=backbone.max_pixels, crop_bottom=bottom) for each in contents]
    greys, infrared = zip(*thumbnails, strict=True)
    views, read = [], ViewReader(backbone)
    for content, found in zip(contents, find_motion(greys, infrared, [True] * len(greys)), strict=True):
        square = None
        if found and found.box:
            width, height = Image.open(BytesIO(content)).size
            square = square_around(extend_to_full(found.box, bottom), width, height, bottom)
        views.append(read(CroppedImage(content, [square])))
    return views


def motion_statistics(rows: pd.DataFrame, backbone: Backbone) -> Features:
    """Return the features of the view motion_statistics of the images of one camera, shape (n, 6 COPIES)."""
    from pipelines.localisation.motion import measure_motion
    from pipelines.localisation.thumbnails import read_thumbnail
    from pipelines.stages.featurize.statistics import COPIES, NEUTRAL

    options = {"max_pixels": backbone.max_pixels, "crop_bottom": backbone.preprocessing.crop_bottom}
    greys, infrared = zip(*(read_thumbnail(Path(path).read_bytes(), **options) for path in rows.path), strict=True)
    found = measure_motion(greys, infrared, [True] * len(greys))
    values = [NEUTRAL if each is None or each.values is None else each.values for each in found]
    return np.tile(np.array(values, np.float32), COPIES)


# A view returns the network's input, or an Embedding with the failure, for the images of one camera.
VIEWS: dict[str, View] = {"whole": whole}
if find_spec("pipelines.localisation"):
    VIEWS["motion"] = motion
STATISTICS = "motion_statistics"


def load_features(
    images: LabelledSet, views: Sequence[str], backbones: Sequence[str], flip: bool, data: Path, cache: Path
) -> Features:
    """Return the concatenated features of all views and backbones, shape (n, d); NaN for images that failed."""
    parts = [_load(images, view, name, flip, data, cache) for view in views for name in backbones]
    return np.concatenate(parts, axis=1)


def _load(images: LabelledSet, view: str, name: str, flip: bool, data: Path, cache: Path) -> Features:
    weights = data / "backbones" / f"{name}_imagenet.safetensors"
    backbone = load_backbone(
        name, weights=str(weights) if weights.is_file() else None, crop_bottom=images.crop_bottom, check=False
    )
    key = sha256("\n".join([backbone.feature_id, *images.rows.path]).encode()).hexdigest()[:12]
    file = cache / f"{images.name}-{view}{'-flipped' if flip else ''}-{name}-{key}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, _compute(images.rows, view, flip, backbone))
    return np.load(file)


def _compute(rows: pd.DataFrame, view: str, flip: bool, backbone: Backbone) -> Features:
    load_or_convert(backbone, GRAPHS)  # converted once, before the processes need it
    cameras = [part for _, part in rows.reset_index(drop=True).groupby("camera", sort=False)]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        parts = pool.starmap(_compute_camera, [(part, view, flip, backbone) for part in cameras], 1)
    length = max(part.shape[1] for part in parts)
    features = np.full((len(rows), length), np.nan, np.float32)
    for camera, part in zip(cameras, parts, strict=True):
        features[camera.index] = part
    return features


def _compute_camera(rows: pd.DataFrame, view: str, flip: bool, backbone: Backbone) -> Features:
    """Return the features of the images of one camera; shape (n, 1) if all failed."""
    if view == STATISTICS:
        return motion_statistics(rows, backbone)
    engine = OpenVinoEngine(load_or_convert(backbone, GRAPHS), backbone)
    pixels = VIEWS[view](rows, backbone)
    readable = [i for i, item in enumerate(pixels) if not isinstance(item, Embedding)]
    left, parts = iter(readable), []
    while chunk := list(islice(left, engine.batch)):
        stacked = np.stack([pixels[i] for i in chunk])
        parts.append(engine(np.ascontiguousarray(stacked[:, :, ::-1]) if flip else stacked))
    values = np.full((len(rows), parts[0].shape[1] if parts else 1), np.nan, np.float32)
    if parts:
        values[readable] = np.concatenate(parts)
    return values


def add_burst_features(features: Features, bursts: Sequence[str], kind: str) -> Features:
    """Return features with the mean (mean), or the mean and the maximum (mean_max), of each image's burst appended.

    only_mean: the mean instead of the image's own features; none: the features as they are. Images that failed (NaN)
    do not count.
    """
    if kind == "none":
        return features
    _, index = np.unique(np.asarray(bursts, str), return_inverse=True)
    is_readable = ~np.isnan(features[:, 0])
    sums, frames = np.zeros((index.max() + 1, features.shape[1])), np.zeros(index.max() + 1)
    np.add.at(sums, index[is_readable], features[is_readable])
    np.add.at(frames, index[is_readable], 1)
    mean = (sums / np.maximum(frames, 1)[:, None]).astype(np.float32)[index]
    if kind == "only_mean":
        return np.where(is_readable[:, None], mean, np.nan)
    added = [features, mean]
    if kind == "mean_max":
        highest = np.full_like(sums, -np.inf, np.float32)
        np.maximum.at(highest, index[is_readable], features[is_readable])
        added.append(highest[index])
    return np.concatenate(added, axis=1)
