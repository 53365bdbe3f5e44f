"""Export: write the served model of a version into a folder that runs elsewhere."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from pipelines import __version__
from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.serving.description import Description
from pipelines.tracking.served_files import open_served_model, predictor_folder

MODEL = "model"  # the MLflow model in an exported folder
README = "README.md"


def export_model(folder: Path, settings: Settings) -> str:
    """Write the served model of score.model_version and a README into a folder; return the closing line.

    The folder is complete or not there. Raises DataError if it exists and is not empty, ModelError if there is no
    version, or none that can be served.
    """
    target = folder.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{folder} exists and is not an empty folder. Give the name of a new one.")
    with open_served_model(settings) as (version, model):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            draft = Path(scratch) / target.name
            shutil.copytree(model, draft / MODEL, copy_function=shutil.copyfile)  # with the modes of new files
            text = readme(Description.read(predictor_folder(draft / MODEL)))
            (draft / README).write_text(text, encoding="utf-8")
            if target.exists():  # empty; somebody's shell may be in it, so it stays the same folder
                for name in (MODEL, README):
                    (draft / name).replace(target / name)
            else:
                draft.replace(target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return f"export-model: {version}, {size / 1e6:,.1f} MB in {folder}. Next: {folder / README}"


def readme(description: Description) -> str:
    """Return the text of an exported folder's README."""
    text = (resources.files("pipelines.stages") / "exported_model.md").read_text("utf-8")
    side = 2 * max(backbone.preprocessing["size"] for backbone in description.backbones)
    needs_torch = any(backbone.format == "torch" for backbone in description.backbones)
    packages = ["'irbis[serve,torch]'" if needs_torch else "'irbis[serve]'"]
    return Template(text).substitute(
        name=description.model_name,
        version=description.model_version,
        irbis=__version__,
        labels=", ".join(f"`{label}`" for label in description.labels),
        backbones=", ".join(f"`{backbone.name}`" for backbone in description.backbones),
        packages=" ".join([*packages, *(["lightgbm"] if "lightgbm" in description.packages else [])]),
        side=side,
        megabytes=f"{description.limits.max_bytes / 2**20:.3g}",
        megapixels=f"{description.limits.max_pixels / 1e6:.3g}",
    )
