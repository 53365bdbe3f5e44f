"""What a format of exchange defines: how images are exported to it, and how labels and detections are read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame

from pipelines.config.settings import Settings

# One row for each image that is exported. Nothing here is a map over all images or a Python list of them: a format
# derives its records from `Export.rows` by Spark, and writes them with `pipelines.spark.local_files.write_lines`.
EXPORT_ROWS = """
    path string,                       -- Full URI
    relative_path string,              -- Below the root of the images, with /, not percent-encoded
    content_hash string,               -- SHA-256 of the bytes; null: never fetched
    size long,                         -- Bytes
    width int,                         -- Pixels, after EXIF orientation
    height int,                        -- Pixels, after EXIF orientation
    station string,                    -- Null: unknown
    camera string,                     -- Serial number; null: unknown
    captured_at timestamp,             -- The camera's wall clock, read as UTC; null: unknown
    burst_id string,                   -- Frames of one trigger share it; unique in the workspace
    group_id string,                   -- Images of one encounter share it
    failure string,                    -- A failure name, of reading or of decoding; null: readable
    label string,                      -- The label in force; null: unlabelled
    label_source string,               -- person, source (labels file or folder), or null
    reviewer string,                   -- Who decided; null: no person has decided in irbis, or by an import
    reviewed_at timestamp,             -- When, in UTC
    is_unknown boolean,                -- A person has decided that they cannot tell
    comment string,                    -- The person's comment
    prediction string,                 -- Predicted label, of the burst where bursts are aggregated; null: not scored
    score double,                      -- Probability of `prediction`
    image_prediction string,           -- The most probable label of the image alone
    image_score double,                -- Probability of `image_prediction`
    probabilities map<string,double>,  -- Of every label, for the image alone
    needs_review boolean,              -- Whether a person must look at the image
    model_name string,                 -- Registered model
    model_version string,              -- Its version
    scored_at timestamp                -- Time of scoring
"""


@dataclass(frozen=True)
class Export:
    """What a format gets to export."""

    rows: DataFrame  # EXPORT_ROWS, one row for each image, in no order
    folder: Path  # exists, on the driver's machine; the files are written here, under final names, atomically
    settings: Settings
    created_at: datetime  # in UTC
    title: str  # of the data: the registered dataset, else the name of the folder of images
    is_filtered: bool = False  # whether filters have left out images
    boxes: DataFrame | None = None  # columns of `newest_boxes`; null: none were imported


@dataclass
class Exported:
    """What a format has written: files, rows by kind (such as images or observations), and rows left out by reason."""

    files: list[Path] = field(default_factory=list)
    written: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


@dataclass
class Imported:
    """What was read from a file, still as paths that nobody has matched to images.

    `labels`: columns path (as in the file), label (null: see is_unknown), and where the format has them is_unknown,
    reviewer, reviewed_at (in UTC), comment, is_machine (a prediction, which is imported only if asked for),
    station, captured_at, path_1, path_2, ... (alternative paths). `detections`: chunks with the columns of the
    table detections from number to detector, and path.
    """

    program: str  # as messages name it
    labels: pd.DataFrame | None = None
    detections: Callable[[], Iterator[pd.DataFrame]] | None = None
    left_out: Counter[str] = field(default_factory=Counter)  # labels, by reason
    boxes_left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    path_names: Mapping[str, str] = field(default_factory=dict)  # columns of paths -> their names in the file
    spanning_columns: frozenset[str] = frozenset()  # columns of paths that are a folder and a name anywhere below it
    other_path: Callable[[str], str] | None = None  # gives another form of a path of boxes


@dataclass(frozen=True)
class Format:
    """A format: FORMAT in its file. Without `export` it is only read, without `read` only written."""

    name: str  # as in `irbis export --to NAME`
    title: str  # as messages and documents write it
    export: Callable[[Export], Exported] | None = None
    matches: Callable[[Path], bool] | None = None  # reads only the beginning of a file; true for at most one format
    read: Callable[[Path, Settings], Imported] | None = None  # raises DataError with every fault
