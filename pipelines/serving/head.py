"""The head of a served model: from features to calibrated probabilities, as arrays in head.npz (no pickle)."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import ModelError, PlatformError
from pipelines.evaluation.calibration import apply_temperature, softmax
from pipelines.serving.forest import Forest

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


class Classifier(Protocol):
    """A fitted classifier without its calibration."""

    @property
    def classes(self) -> int: ...
    def predict(self, features: Floats) -> Floats:
        """Return probabilities of shape (n, k) for features of shape (n, d)."""
        ...

    def to_arrays(self) -> Arrays: ...


@dataclass(frozen=True)
class Linear:
    """Logistic regression: coefficients of shape (k, d) and k intercepts.

    A binary one has a row of zeros for its first class.
    """

    coefficients: Floats
    intercepts: Floats

    @property
    def classes(self) -> int:
        return len(self.intercepts)

    def predict(self, features: Floats) -> Floats:
        return softmax(features @ self.coefficients.T + self.intercepts)

    def to_arrays(self) -> Arrays:
        return {"linear_coefficients": self.coefficients, "linear_intercepts": self.intercepts}


@dataclass(frozen=True)
class Boosting:
    """LightGBM, as its own text; the package lightgbm reads it when it first predicts."""

    text: str

    @cached_property
    def _booster(self) -> Any:
        if find_spec("lightgbm") is None:
            raise PlatformError(
                "The classifier of this model is LightGBM, which is not installed. pip install lightgbm"
            )
        import lightgbm

        return lightgbm.Booster(model_str=self.text)

    @cached_property
    def classes(self) -> int:
        return max(2, int(self._booster.num_model_per_iteration()))

    def predict(self, features: Floats) -> Floats:
        result = np.asarray(self._booster.predict(features), np.float64)
        return result if result.ndim == 2 else np.column_stack([1 - result, result])

    def to_arrays(self) -> Arrays:
        return {"lightgbm": np.frombuffer(self.text.encode(), np.uint8)}


@dataclass(frozen=True)
class Projection:
    """Principal components: (features - mean) * scale, times `components` of shape (d, m)."""

    mean: Floats
    scale: Floats
    components: Floats

    def apply(self, features: Floats) -> Floats:
        return np.asarray(((features - self.mean) * self.scale) @ self.components)


@dataclass(frozen=True)
class Head:
    """A classifier, the projection before it, and the temperature that divides its logits."""

    classifier: Classifier
    projection: Projection | None = None
    temperature: float = 1.0

    @property
    def classes(self) -> int:
        return self.classifier.classes

    def predict(self, features: ArrayLike, flipped: ArrayLike | None = None) -> Floats:
        """Return probabilities of shape (n, k) for features of shape (n, d).

        With `flipped`, the features of the flipped images, they are the mean of both.
        """
        plain = self._predict(features)
        return plain if flipped is None else np.asarray((plain + self._predict(flipped)) / 2)

    def _predict(self, features: ArrayLike) -> Floats:
        values = np.asarray(features, np.float64)
        if not len(values):
            return np.zeros((0, self.classes))
        probabilities = self.classifier.predict(self.projection.apply(values) if self.projection else values)
        return apply_temperature(probabilities, self.temperature)

    def save(self, path: Path) -> None:
        """Write the arrays to a .npz file."""
        projection = vars(self.projection) if self.projection else {}
        arrays: dict[str, Any] = {f"projection_{name}": value for name, value in projection.items()}
        arrays |= {"temperature": np.float64(self.temperature), **self.classifier.to_arrays()}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Head:
        """Return the head that `save` wrote. Raises ModelError for any other file."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return cls(_read_classifier(arrays), _read_projection(arrays), float(arrays["temperature"]))
        except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} is not the head of a served model: {type(error).__name__}: {error}.") from error


def _read_classifier(arrays: Arrays) -> Classifier:
    if "lightgbm" in arrays:
        return Boosting(arrays["lightgbm"].tobytes().decode())
    if "forest_roots" in arrays:
        return Forest.from_arrays(arrays)
    return Linear(arrays["linear_coefficients"], arrays["linear_intercepts"])


def _read_projection(arrays: Arrays) -> Projection | None:
    if "projection_components" not in arrays:
        return None
    return Projection(**{name: arrays[f"projection_{name}"] for name in ("mean", "scale", "components")})
