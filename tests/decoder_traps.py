"""A decoder with traps, which child processes import."""

from __future__ import annotations

import os
import time

from pipelines.serving.pixels import PixelReader


class Trapped(PixelReader):
    """Crash, hang or raise at the bytes of these names."""

    def __call__(self, content):
        if content == b"crash":
            os.abort()
        if content == b"hang":
            time.sleep(60)
        if content == b"defect":
            raise KeyError("a defect")
        return super().__call__(content)
