"""The outcome of `decode`, pixels or failure, with all decoders and with Pillow only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.errors import ImageError
from pipelines.images import fast_jpeg
from pipelines.images.decode import decode

MAX_PIXELS = 100_000_000


def outcome(content: bytes, min_side: int | None = None) -> np.ndarray[Any, Any]:
    """Return the pixels, or the failure and its detail."""
    try:
        return np.asarray(decode(content, max_pixels=MAX_PIXELS, min_side=min_side))
    except ImageError as error:
        return np.array([error.failure, error.detail])


def pillows(content: bytes, monkeypatch: pytest.MonkeyPatch, min_side: int | None = None) -> np.ndarray[Any, Any]:
    """Return the outcome without simplejpeg."""
    with monkeypatch.context() as patched:
        patched.setattr(fast_jpeg, "AVAILABLE", False)
        return outcome(content, min_side)
