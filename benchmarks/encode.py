"""Measure how far `pipelines.serving.encode` changes predictions, for sides and qualities.

    python benchmarks/encode.py FOLDER [--suffix .jpg] [--images 150] [--enlarge 0] [--sides 224 320 448]
        [--qualities 85 90 95] [--backbone mobilenet_v2] [--weights FILE] [--resize-mode squash]

FOLDER has a folder of images per label. A logistic regression on the features of the files themselves predicts the
files and what `encode` makes of them. Printed for each side and quality: the cosine between the two features of an
image, the largest change of a probability of each image, how many predictions change, and kB. --enlarge 4000 enlarges
the images to that width first, as files of cameras have.
"""

from __future__ import annotations

import argparse
import base64
import io
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines.backbones import load_backbone
from pipelines.backbones.backbone import Backbone
from pipelines.engines import EngineFactory, load_or_convert
from pipelines.images.decode import decode
from pipelines.serving.encode import encode


def read(file: Path, enlarge: int) -> bytes:
    """Return the bytes of a file, or of its image enlarged to a width in pixels."""
    if not enlarge:
        return file.read_bytes()
    with Image.open(file) as image:
        size = (enlarge, round(enlarge * image.height / image.width))
        buffer = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def features(contents: list[bytes], backbone: Backbone, engine: Any) -> np.ndarray:
    """Return the features of images, as a served model computes them."""
    side = backbone.preprocessing.min_decode_side
    decoded = (decode(content, max_pixels=10**9, min_side=side) for content in contents)
    pixels = np.stack([backbone.preprocessing.apply(image) for image in decoded])
    return np.concatenate([np.array(engine(pixels[i : i + 16])) for i in range(0, len(pixels), 16)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suffix", default=".jpg")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--enlarge", type=int, default=0)
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 320, 448])
    parser.add_argument("--qualities", type=int, nargs="+", default=[85, 90, 95])
    parser.add_argument("--backbone", default="irbis_tiny")
    parser.add_argument("--weights")
    parser.add_argument("--resize-mode", default="squash")
    options = parser.parse_args()
    backbone = load_backbone(options.backbone, weights=options.weights, resize_mode=options.resize_mode)
    with tempfile.TemporaryDirectory() as cache:
        graph = load_or_convert(backbone, cache)
    engine = EngineFactory(backbone, lambda: backbone.weights, lambda: graph, graph.digest).get("cpu")
    files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() == options.suffix)
    files = random.Random(0).sample(files, min(options.images, len(files)))
    contents = [read(file, options.enlarge) for file in files]
    plain = features(contents, backbone, engine)
    scale = plain.std(axis=0) + 1e-6
    head = LogisticRegression(max_iter=500).fit(plain / scale, [file.parent.name for file in files])
    expected = head.predict_proba(plain / scale)
    print(f"{len(files)} images, {np.mean([len(content) for content in contents]) / 1000:.0f} kB each")
    for side in options.sides:
        for quality in options.qualities:
            sent = [base64.b64decode(encode(content, side=side, quality=quality)) for content in contents]
            found = features(sent, backbone, engine)
            cosines = np.sum(plain * found, 1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(found, axis=1)
            probabilities = head.predict_proba(found / scale)
            change = np.abs(probabilities - expected).max(axis=1)
            changed = int((probabilities.argmax(1) != expected.argmax(1)).sum())
            print(
                f"side {side}, quality {quality}: cosine {cosines.mean():.5f} (lowest {cosines.min():.5f}), change "
                f"{np.median(change):.4f} (highest {change.max():.4f}), {changed} predictions changed, "
                f"{np.mean([len(each) for each in sent]) / 1000:.0f} kB",
                flush=True,
            )


if __name__ == "__main__":
    main()
