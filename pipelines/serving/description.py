"""The description of a served model, model.json: labels, review rule, limits, and the backbones with their ids."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.backbones import Backbone
from pipelines.errors import ModelError
from pipelines.evaluation.needs_review import ReviewRule
from pipelines.evaluation.review_policy import ReviewPolicy
from pipelines.images.preprocess import Preprocessing

FILE = "model.json"
FORMAT = 1


@dataclass(frozen=True)
class Limits:
    """The limits of an image: bytes, pixels, and seconds of decoding."""

    max_bytes: int
    max_pixels: int
    max_seconds: float


@dataclass(frozen=True)
class ServedBackbone:
    """A backbone in a folder of its own: an OpenVINO graph, or weights for torch."""

    name: str
    feature_id: str
    weights_digest: str
    precision: Literal["exact", "fast"]
    preprocessing: dict[str, Any]
    format: Literal["openvino", "torch"]
    folder: str

    def to_backbone(self, limits: Limits) -> Backbone:
        """Return the backbone without its weights, which has the id of the features that the head was trained on."""
        preprocessing = Preprocessing(**self.preprocessing)
        backbone = Backbone(
            self.name, b"", preprocessing, limits.max_pixels, self.precision, max_seconds=limits.max_seconds
        )
        backbone.__dict__["weights_digest"] = self.weights_digest
        return backbone


@dataclass(frozen=True)
class Description:
    """What a served model needs to know besides arrays and networks.

    `labels` are in the order of the head's classes. `packages` are those that it needs, in the versions that were
    installed where it was written, and the version of irbis.
    """

    model_name: str
    model_version: str
    labels: tuple[str, ...]
    policy: ReviewPolicy
    rule: ReviewRule
    limits: Limits
    backbones: tuple[ServedBackbone, ...]
    packages: dict[str, str]

    def write(self, folder: Path) -> None:
        """Write model.json into a folder."""
        values = {"format": FORMAT, **asdict(self), "policy": json.loads(self.policy.to_json())}
        (folder / FILE).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Description:
        """Return the description in a folder. Raises ModelError if there is none, or one of a newer irbis."""
        path = folder / FILE
        if not path.is_file():
            raise ModelError(f"{folder} holds no served model: {FILE} is missing. Write one: `irbis export-model DIR`.")
        try:
            values = json.loads(path.read_text("utf-8"))
            if values.pop("format") != FORMAT:
                raise ModelError(f"{path} is of another version of irbis. Install that version, or export it again.")
            return cls(
                model_name=values["model_name"],
                model_version=values["model_version"],
                labels=tuple(values["labels"]),
                policy=ReviewPolicy.from_json(json.dumps(values["policy"])),
                rule=ReviewRule(**values["rule"]),
                limits=Limits(**values["limits"]),
                backbones=tuple(ServedBackbone(**each) for each in values["backbones"]),
                packages=values["packages"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} cannot be read: {type(error).__name__}: {error}.") from error
