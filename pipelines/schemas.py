"""Columns and types of every table, and the names of failures.

Types are written as Spark DDL, so that rooms without Spark can import this file too.
Names and types are a contract with everyone who reads the tables; columns may be added at the end.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple


class Failure(str, Enum):
    """Name why an image cannot be used. The decoder's own words stand in `failure_detail`."""

    EMPTY = "empty"  # no bytes
    NOT_AN_IMAGE = "not_an_image"  # text, HTML, a Git LFS pointer under an image's name
    UNSUPPORTED_FORMAT = "unsupported_format"  # a known format that no decoder here reads
    TRUNCATED = "truncated"  # the file ends before the image does
    UNREADABLE = "unreadable"  # an image format by its signature, but broken inside
    TOO_LARGE = "too_large"  # more bytes or pixels than the settings allow
    TOO_COMPLEX = "too_complex"  # more scans, strips, chunks or the like than any ordinary file: never decoded
    TOO_SLOW = "too_slow"  # images.max_seconds were over before it was decoded
    CRASHED = "crashed"  # ended the process that decoded it, twice
    VANISHED = "vanished"  # listed, but gone when it was fetched; or removed since
    CHANGED = "changed"  # overwritten between listing and fetching
    FORBIDDEN = "forbidden"  # the source refuses to hand it out
    UNAVAILABLE = "unavailable"  # the source did not answer, or not with the whole image, however often it was asked

    def __str__(self) -> str:
        return self.value

    @property
    def is_access_error(self) -> bool:
        """Say whether the source is at fault, not the image."""
        return self in {Failure.FORBIDDEN, Failure.UNAVAILABLE}

    @property
    def is_process_failure(self) -> bool:
        """Return whether the image ended the process that decoded it."""
        return self in {Failure.TOO_SLOW, Failure.CRASHED}

    @property
    def is_transient(self) -> bool:
        """Say whether the next run may fare better, so that ingest tries again."""
        return self in {Failure.VANISHED, Failure.CHANGED, Failure.FORBIDDEN, Failure.UNAVAILABLE}


# One row per version of a blob; append-only; the newest row of a path is the current one, unless it says removed_at.
IMAGES = """
    path string,              -- full URI, the key
    content_hash string,      -- SHA-256 of the bytes, hex; null: nothing was fetched
    content binary,           -- the compressed image as it was found; null: see content_path
    size long,                -- bytes
    modified_at timestamp,
    etag string,              -- changes when the blob does
    label string,             -- null: unlabelled
    station string,           -- where the camera stood
    captured_at timestamp,    -- EXIF or CSV; the camera's clock read as UTC
    burst_id string,          -- frames of one trigger
    group_id string,          -- what must never be split between train and test
    width int,                -- pixels, upright
    height int,
    failure string,           -- a Failure; null: readable
    ingested_at timestamp,
    failure_detail string,    -- the decoder's own words
    camera string,            -- CSV or EXIF serial number; null: unknown
    burst_rule string,        -- the gaps behind burst_id and group_id
    file_series string,       -- folder (without the label's) and file name up to its number
    file_number long,         -- the number in the file name; null: it has none
    removed_at timestamp,     -- since when the path is gone from its source; null: it is there
    content_path string,      -- path and ingested_at of the row that holds the content: bytes are
    content_at timestamp      -- stored once; null: this row does, or there are none
"""

ID_SEPARATOR = "+"  # between the names, and the identities, of backbones whose features stand side by side
FLIPPED_SUFFIX = "/flipped"  # ends the identity of features of the image flipped left to right

# One row per (content_hash, backbone): the same bytes are never computed twice.
FEATURES = """
    content_hash string,
    backbone string,          -- name, weights digest, preprocessing [/flipped]; never joined
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
    burst_prediction string,            -- vote over the frames of the burst; prediction where the version has no vote
    burst_score double,                 -- probability of burst_prediction
    needs_review boolean,
    model_name string,
    model_version string,
    backbone string,                    -- several side by side are joined by +
    failure string,
    scored_at timestamp
"""

# One row per named source of images: `irbis datasets`.
DATASETS = """
    name string,
    images string,            -- address, as it was given
    labels string,            -- file, folder:N or none
    station string,
    extensions array<string>,
    root string,              -- the beginning of the paths of its images
    registered_at timestamp,
    columns map<string,string>   -- of the labels file: what -> name of the column
"""

# One row per new or changed image that `irbis ingest --watch` has seen at a source; a stream reads them once.
ARRIVALS = """
    path string,
    size long,
    modified_at timestamp,
    etag string,
    label string,
    station string,
    camera string,
    captured_at timestamp,
    sequence string,          -- the burst that a labels file names
    says_label boolean,       -- whether the listing has a say in the label
    arrived_at timestamp,
    file_series string,
    file_number long,
    named_time timestamp      -- the time in the file name
"""


def split_ids(backbone: str) -> list[str]:
    """Give the identities in a joined one, `a@1/x+b@2/y`, in its order; of another, itself."""
    return backbone.split(ID_SEPARATOR)


def flipped_id(backbone: str) -> str:
    """Give what names the features of the flipped images, of a joined identity those of every part."""
    return ID_SEPARATOR.join(part + FLIPPED_SUFFIX for part in split_ids(backbone))


def backbone_names(backbone: str) -> str:
    """Give what `--backbone` takes to make features of this identity: `a+b`."""
    return ID_SEPARATOR.join(part.partition("@")[0] for part in split_ids(backbone))


def parse_ddl(schema: str) -> dict[str, str]:
    """Give the columns, in order: name to type."""
    lines = (line.split("--")[0].strip().rstrip(",") for line in schema.strip().splitlines())
    return {name: kind for name, _, kind in (line.partition(" ") for line in lines if line)}


class SourceFile(NamedTuple):
    """One listed image. `path` is its full URI as stored, unescaped; `etag` changes when the bytes do."""

    path: str
    relative_path: str
    size: int
    modified_at: datetime | None  # null: the place gives no time that a table can hold
    etag: str
    md5: bytes | None = None  # where the place knows it
