"""Predictions of SpeciesNet, in the layout before and since version 5.0.6; only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.exchange.boxes import FAILED, ImageBoxes, build_import, clean
from pipelines.exchange.formats.base import Format, Imported
from pipelines.sources.json_files import JsonFile

TITLE = "SpeciesNet"
VERSIONS = ("20261015",)  # before, the file had none
WHOLE_IMAGE = "0"  # category of what the classifier says about the whole image
CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle", "human": "person"}
THRESHOLD = 0.2  # typical confidence from which on the detector has found something
RANKS = 7  # tokens of a class: id, class, order, family, genus, species, common name
NOT_CLASSIFIED = "no cv result"
BLANK = "blank"


def matches(path: Path) -> bool:
    """Return whether the beginning of a file is that of SpeciesNet's predictions."""
    start = JsonFile(path).beginning()
    first = start.get("predictions")
    return isinstance(first, dict) and "filepath" in first


def read(path: Path, settings: Settings) -> Imported:
    """Read labels, all of them predictions, and boxes. Raises DataError with every fault."""
    file = JsonFile(path)
    info = file.members(["info"]).get("info")
    version = info.get("format_version") if isinstance(info, dict) else None
    if version is not None and str(version) not in VERSIONS:
        raise DataError(
            f"{file} has the format version {str(version)!r}. irbis reads {', '.join(VERSIONS)} and the layout of "
            "SpeciesNet before 5.0.6. Convert it to MegaDetector results with speciesnet_to_md, and import that."
        )
    return build_import(TITLE, file, lambda: _images(file))


def _images(file: JsonFile) -> Iterator[ImageBoxes]:
    for number, prediction in enumerate(file.items("predictions")):
        path = prediction.get("filepath")
        if not isinstance(path, str) or not path.strip():
            raise DataError(f"{file}: prediction {number} has no filepath: {str(prediction)[:100]}. Remove it.")
        image = ImageBoxes(path, " ".join(["SpeciesNet", str(prediction.get("model_version") or "")]).strip())
        try:
            _read_prediction(image, prediction)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            image.faults.append(f"it is not as SpeciesNet writes it ({type(error).__name__}: {error})")
        yield image


def _read_prediction(image: ImageBoxes, prediction: Mapping[str, Any]) -> None:
    detections = prediction.get("detections")
    whole = _old_prediction(prediction)
    if detections is not None:
        image.boxes = []
        for detection in detections:
            label, score = _prediction(detection)
            if str(detection["category"]) == WHOLE_IMAGE:
                whole = label, score
                continue
            name = detection.get("label")
            category = CATEGORIES.get(str(name)) or clean(name) or CATEGORIES.get(str(detection["category"]))
            image.add(detection["bbox"], category, detection["conf"], label, score)
    best = image.best()
    if whole[0] and best and not best.label:  # the old layout has one prediction for the image, from its best box
        assert image.boxes is not None
        image.boxes[image.boxes.index(best)] = best._replace(label=whole[0], label_score=whole[1])
    if whole[0]:
        image.label = whole[0]
    elif best and best.label:
        image.label = best.label
    elif image.boxes is not None:
        image.label = best.category if best and (best.score or 0) >= THRESHOLD else BLANK
    if image.label is None:
        image.left_out[FAILED] += 1


def _old_prediction(prediction: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return the prediction of the layout before 5.0.6: of the ensemble, else of the classifier alone."""
    if prediction.get("prediction"):
        return to_label(prediction["prediction"]), prediction.get("prediction_score")
    return _first(prediction.get("classifications"))


def _prediction(detection: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return the prediction for a box: of the ensemble, else of the classifier alone."""
    processed = detection.get("processed_classification")
    if processed:
        return to_label(processed["class"]), processed.get("score")
    return _first(detection.get("raw_classifications"))


def _first(classes: Mapping[str, Any] | None) -> tuple[str | None, float | None]:
    if not classes or not classes["classes"]:
        return None, None
    return to_label(classes["classes"][0]), classes["scores"][0]


def to_label(name: str) -> str | None:
    """Return the common name of a class, else its lowest rank; null if the classifier has no result."""
    tokens = [token.strip() for token in name.split(";")]
    if len(tokens) != RANKS:
        return clean(name)
    *ranks, genus, species, common = tokens[1:]
    label = common or (f"{genus} {species}" if genus and species else genus or next(filter(None, ranks[::-1]), ""))
    return None if label.lower() == NOT_CLASSIFIED else clean(label)


FORMAT = Format("speciesnet", "SpeciesNet predictions", None, matches, read)
