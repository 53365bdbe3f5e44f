"""Columns and types of every table, and the names of failures.

Types are written as Spark DDL, so that packages without Spark can import this module too.
Names and types are a contract with all readers of the tables; columns may be added at the end.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple


class Failure(str, Enum):
    """The reason why an image cannot be used. `failure_detail` holds the decoder's own message."""

    EMPTY = "empty"  # no bytes
    NOT_AN_IMAGE = "not_an_image"  # text, HTML, a Git LFS pointer under an image's name
    UNSUPPORTED_FORMAT = "unsupported_format"  # a known format without a decoder here
    TRUNCATED = "truncated"  # the file ends before the image does
    UNREADABLE = "unreadable"  # an image format by its signature, but broken inside
    TOO_LARGE = "too_large"  # more bytes or pixels than the settings allow
    TOO_COMPLEX = "too_complex"  # more scans, strips or chunks than any ordinary file: never decoded
    TOO_SLOW = "too_slow"  # decoding took longer than images.max_seconds
    CRASHED = "crashed"  # crashed the decoding process twice
    VANISHED = "vanished"  # listed, but deleted before it was fetched
    CHANGED = "changed"  # overwritten between listing and fetching
    FORBIDDEN = "forbidden"  # the source denies access
    UNAVAILABLE = "unavailable"  # the source did not return the complete image, in spite of retries

    def __str__(self) -> str:
        return self.value

    @property
    def is_access_error(self) -> bool:
        """Return whether the source is at fault, not the image."""
        return self in {Failure.FORBIDDEN, Failure.UNAVAILABLE}

    @property
    def is_process_failure(self) -> bool:
        """Return whether the image crashed or stalled the decoding process."""
        return self in {Failure.TOO_SLOW, Failure.CRASHED}

    @property
    def is_transient(self) -> bool:
        """Return whether the failure may be gone in the next run, so that ingest tries again."""
        return self in {Failure.VANISHED, Failure.CHANGED, Failure.FORBIDDEN, Failure.UNAVAILABLE}


# One row per version of a file; append-only; the newest row of a path is current, unless removed_at is set.
IMAGES = """
    path string,              -- full URI, the key
    content_hash string,      -- SHA-256 of the bytes, hex; null: nothing was fetched
    content binary,           -- the original file; null: see content_path
    size long,                -- bytes
    modified_at timestamp,
    etag string,              -- changes with the bytes
    label string,             -- null: unlabelled
    station string,           -- the camera location
    captured_at timestamp,    -- EXIF or CSV; the camera's clock read as UTC
    burst_id string,          -- frames of one trigger
    group_id string,          -- what must never be split between train and test
    width int,                -- pixels, upright
    height int,
    failure string,           -- a Failure; null: readable
    ingested_at timestamp,
    failure_detail string,    -- the decoder's own message
    camera string,            -- CSV or EXIF serial number; null: unknown
    burst_rule string,        -- the gaps behind burst_id and group_id
    file_series string,       -- folder (without the label's) and file name up to its number
    file_number long,         -- the number in the file name; null: it has none
    removed_at timestamp,     -- when the path disappeared from its source; null: it is present
    content_path string,      -- path and ingested_at of the row with the content, as bytes are stored
    content_at timestamp      -- once; null: this row has the content, or there is none
"""

ID_SEPARATOR = "+"  # between the names and ids of backbones whose features are concatenated
FLIPPED_SUFFIX = "/flipped"  # ends the id of the features of the horizontally flipped image

# One row per (content_hash, backbone): the same bytes are never computed twice.
FEATURES = """
    content_hash string,
    backbone string,          -- id: name, weights digest, preprocessing [/flipped]; one backbone only
    features array<float>,    -- null where failure is set
    failure string,
    featurized_at timestamp,
    failure_detail string
"""

# One row per (path, content_hash, model_version).
PREDICTIONS = """
    path string,
    content_hash string,
    prediction string,                  -- the most probable label; null where failure is set
    score double,                       -- probability of prediction
    probabilities map<string,double>,
    burst_id string,
    burst_prediction string,            -- vote over the frames of the burst; the prediction if the model does not vote
    burst_score double,                 -- probability of burst_prediction
    needs_review boolean,
    model_name string,
    model_version string,
    backbone string,                    -- ids of concatenated backbones are joined by +
    failure string,
    scored_at timestamp
"""

# One row per named source of images: `irbis datasets`.
DATASETS = """
    name string,
    images string,            -- path or URI as configured
    labels string,            -- file, folder:N or none
    station string,
    extensions array<string>,
    root string,              -- common prefix of the paths of its images
    registered_at timestamp,
    columns map<string,string>   -- of the labels file: irbis column -> file column
"""

# One row per new or changed image that `irbis ingest --watch` found in a source; a stream reads each row once.
ARRIVALS = """
    path string,
    size long,
    modified_at timestamp,
    etag string,
    label string,
    station string,
    camera string,
    captured_at timestamp,
    sequence string,          -- burst id from a labels file
    says_label boolean,       -- whether the listing determines the label
    arrived_at timestamp,
    file_series string,
    file_number long,
    named_time timestamp      -- the time in the file name
"""


def split_ids(backbone: str) -> list[str]:
    """Split a joined backbone id, `a@1/x+b@2/y`, into its parts, in order; a single id is its only part."""
    return backbone.split(ID_SEPARATOR)


def flipped_id(backbone: str) -> str:
    """Return the backbone id for features of flipped images; a joined id is flipped in every part."""
    return ID_SEPARATOR.join(part + FLIPPED_SUFFIX for part in split_ids(backbone))


def backbone_names(backbone: str) -> str:
    """Return the value of `--backbone` that computes features with this id: `a+b`."""
    return ID_SEPARATOR.join(part.partition("@")[0] for part in split_ids(backbone))


def parse_ddl(schema: str) -> dict[str, str]:
    """Parse Spark DDL into {column name: type}, in order."""
    lines = (line.split("--")[0].strip().rstrip(",") for line in schema.strip().splitlines())
    return {name: kind for name, _, kind in (line.partition(" ") for line in lines if line)}


class SourceFile(NamedTuple):
    """A listed file. `path` is its full URI as stored, unescaped; `etag` changes when the bytes do."""

    path: str
    relative_path: str
    size: int
    modified_at: datetime | None  # null: the source has no time that a table can store
    etag: str
    md5: bytes | None = None  # if the source provides it
