"""From a map to a box: apply a threshold, take the largest component."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.images.crop import Box
from pipelines.localisation.components import bounding_box, largest_component

Floats = NDArray[np.float64]
THRESHOLD = 0.4  # of the range of the map; the best mean overlap with the true boxes of the sample set


class Attention(NamedTuple):
    """The box of a map's largest component and the maximum (x, y) in it, in fractions of the map's sides."""

    box: Box
    peak: tuple[float, float]


def locate(values: Floats, threshold: float = THRESHOLD) -> Attention | None:
    """Return where a map of shape (h, w) is high; None if it is flat.

    The maximum is that of the largest component: networks that pad often have a higher one at the edge of the image.
    """
    low, high = float(values.min()), float(values.max())
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # also if not finite
        return None
    height, width = values.shape
    is_high = values >= low + threshold * (high - low)
    component = largest_component(is_high)
    if component is None:  # a map with values that are not finite
        return None
    inside = np.where(component, values, low)
    rows, columns = np.nonzero(inside >= inside.max() - 1e-6 * (high - low))  # several where the edge was extended
    return Attention(
        bounding_box(component), ((float(columns.mean()) + 0.5) / width, (float(rows.mean()) + 0.5) / height)
    )
