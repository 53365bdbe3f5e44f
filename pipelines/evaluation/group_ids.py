"""The form of a group id, which tells how the group was found."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

BASES = ("station", "camera", "file name", "file order", "image")
CAMERA_PREFIX, FILES_PREFIX, NO_TIME_PREFIX = "?/camera ", "?/files ", "no time "


def group_basis(group_id: Column) -> Column:
    """Return how a group was found, one of BASES.

    `station` and `camera`: by station or camera and time; `file name`: by file name and time, without station and
    camera; `file order`: by station or camera and file number, without times; `image`: not at all, so that the image
    is a group of its own.
    """
    return (
        F.when(group_id.rlike("^[0-9a-f]{64}$"), "image")
        .when(group_id.contains(f"/{NO_TIME_PREFIX}"), "file order")
        .when(group_id.startswith(FILES_PREFIX), "file name")
        .when(group_id.startswith(CAMERA_PREFIX), "camera")
        .otherwise("station")
    )
