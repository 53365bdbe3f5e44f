"""Write a served model into a folder: head.npz, model.json, the networks, and the code that runs them."""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import resources
from importlib.abc import Traversable
from pathlib import Path
from typing import Literal

from pipelines import __version__
from pipelines.backbones import Backbone
from pipelines.engines import load_or_convert
from pipelines.engines.graph import openvino_available
from pipelines.errors import ModelError
from pipelines.evaluation.needs_review import ReviewRule
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.feature_ids import WHOLE, view_names
from pipelines.serving.description import Description, Limits, ServedBackbone
from pipelines.serving.head import Boosting, Head
from pipelines.serving.networks import WEIGHTS_FILE
from pipelines.serving.predictor import HEAD_FILE

CODE_FILE = "irbis.zip"
PACKAGES = ("numpy", "pandas", "pillow", "pyarrow", "urllib3")
OPTIONAL_PACKAGES = ("cykooz.resizer", "simplejpeg")  # there are not wheels for every platform
ENGINE_PACKAGES = {"openvino": ("openvino",), "torch": ("torch", "torchvision", "safetensors")}


def require_whole_views(feature_id: str, version: str) -> None:
    """Raise ModelError for a version that also looks at crops.

    A single image has no crop around what moved: that takes other images of its camera. On whole images instead, the
    model would miss the recall that its operating points were chosen for.
    """
    if crops := [view for view in view_names(feature_id) if view != WHOLE]:
        raise ModelError(
            f"{version} cannot be served: it also looks at crops ({', '.join(crops)}), which take other images of the "
            "same camera, or detections. Score with `irbis score`, or train with --set featurize.views=whole."
        )


def write_model(
    folder: Path,
    head: Head,
    backbones: Sequence[Backbone],
    *,
    name: str,
    version: str,
    labels: Sequence[str],
    policy: ReviewPolicy,
    rule: ReviewRule,
    limits: Limits,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    cache: str = "~/.cache/irbis/weights",
) -> None:
    """Write a served model into an empty folder. `cache` holds the converted networks, as in featurize.

    Raises PlatformError without torch where it is needed, and WeightsError for unusable weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head.save(folder / HEAD_FILE)
    served = [_write_network(folder, i, backbone, engine, cache) for i, backbone in enumerate(backbones)]
    packages = {"irbis": __version__, **_find_packages(head, (backbone.format for backbone in served))}
    Description(name, version, tuple(labels), policy, rule, limits, tuple(served), packages).write(folder)
    write_code(folder / CODE_FILE)


def pip_requirements(folder: Path) -> list[str]:
    """Return the packages that the served model in a folder needs, in the versions that it was written with."""
    packages = Description.read(folder).packages
    return [f"{name}=={version}" if version else name for name, version in packages.items() if name != "irbis"]


def _find_packages(head: Head, formats: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that a model needs; "" if it is not installed here, as LightGBM may be."""
    required = [*PACKAGES, *(name for format_ in sorted(set(formats)) for name in ENGINE_PACKAGES[format_])]
    if isinstance(head.classifier, Boosting):
        required.append("lightgbm")
    versions = {name: _installed_version(name) for name in (*required, *OPTIONAL_PACKAGES)}
    return {name: version for name, version in versions.items() if version or name in required}


def _installed_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def write_code(path: Path) -> None:
    """Write this package's Python files, without data, to a zip that Python can import from; always the same bytes."""
    with zipfile.ZipFile(path, "w") as target:
        for name, file in sorted(_python_files(resources.files("pipelines"), "pipelines")):
            target.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED)


def _python_files(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _python_files(each, f"{name}/{each.name}")
        elif each.name.endswith(".py"):
            yield f"{name}/{each.name}", each


def _write_network(folder: Path, number: int, backbone: Backbone, engine: str, cache: str) -> ServedBackbone:
    is_graph = engine != "torch" and openvino_available()
    target = folder / "backbones" / str(number)
    target.mkdir(parents=True)
    if is_graph:
        load_or_convert(backbone, cache).write(target)
    else:
        from pipelines.backbones.state_dict import to_safetensors

        backbone.check()
        weights = to_safetensors(backbone.weights, backbone.file, backbone.allowed_sha256) if backbone.weights else b""
        (target / WEIGHTS_FILE).write_bytes(weights)
    return ServedBackbone(
        backbone.name,
        backbone.feature_id,
        backbone.weights_digest,
        backbone.precision,
        asdict(backbone.preprocessing),
        "openvino" if is_graph else "torch",
        f"backbones/{number}",
    )
