"""Columns, types and meaning of every table, and the names of failures.

Types are written as Spark DDL, so that packages without Spark can import this module too.
Names and types are a contract with everyone who reads the tables; columns may be added at the end.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import NamedTuple


class Failure(str, Enum):
    """Reason why an image cannot be used. `failure_detail` holds the decoder's own message."""

    # docs/reference/failures.md is generated from these comments.
    EMPTY = "empty"  # The file has no bytes
    NOT_AN_IMAGE = "not_an_image"  # Text, HTML or a Git LFS pointer under an image's name
    UNSUPPORTED_FORMAT = "unsupported_format"  # A known image format that no decoder here reads
    TRUNCATED = "truncated"  # The file ends before the image does
    UNREADABLE = "unreadable"  # An image format by its signature, but the content is corrupt
    TOO_LARGE = "too_large"  # More bytes or pixels than `images.max_megabytes` or `images.max_megapixels` allow
    TOO_COMPLEX = "too_complex"  # More scans, strips or chunks than any ordinary file; it is not decoded
    TOO_SLOW = "too_slow"  # Decoding took longer than `images.max_seconds`
    CRASHED = "crashed"  # It crashed the process that decoded it, twice
    INVALID_OUTPUT = "invalid_output"  # The detector of `irbis detect` gave values that are no boxes or scores
    VANISHED = "vanished"  # Listed, but gone when it was fetched, or removed since
    CHANGED = "changed"  # Overwritten between listing and fetching
    FORBIDDEN = "forbidden"  # The source denies access to it
    UNAVAILABLE = "unavailable"  # The source did not respond, or not with the whole image, after all retries

    def __str__(self) -> str:
        return self.value

    @property
    def is_access_error(self) -> bool:
        """Return whether the source is at fault, not the image."""
        return self in {Failure.FORBIDDEN, Failure.UNAVAILABLE}

    @property
    def is_process_failure(self) -> bool:
        """Return whether the image crashed or blocked the process that decoded it."""
        return self in {Failure.TOO_SLOW, Failure.CRASHED}

    @property
    def is_transient(self) -> bool:
        """Return whether the failure is transient: the next ingest tries the image again."""
        return self in {Failure.VANISHED, Failure.CHANGED, Failure.FORBIDDEN, Failure.UNAVAILABLE}


# The comments of the tables and of their columns are the text of docs/reference/tables.md.

# One row per version of a file; append-only. The newest row of a path is current, unless `removed_at` is set.
IMAGES = """
    path string,              -- Full URI; the key
    content_hash string,      -- SHA-256 of the bytes in hexadecimal; null: nothing was fetched
    content binary,           -- The compressed image, byte for byte; null: see `content_path`
    size long,                -- Bytes
    modified_at timestamp,    -- Modification time at the source; null: the source does not report one
    etag string,              -- Changes when the file does
    label string,             -- Null: unlabelled
    station string,           -- Place where the camera stands; null: unknown
    captured_at timestamp,    -- From the labels file, EXIF, maker note or file name; local time read as UTC
    burst_id string,          -- Frames of one trigger share it
    group_id string,          -- Images of one encounter share it; never split between train and test
    width int,                -- Pixels, after EXIF orientation
    height int,               -- Pixels, after EXIF orientation
    failure string,           -- A failure name; null: readable
    ingested_at timestamp,    -- Time of the ingest that wrote the row
    failure_detail string,    -- The decoder's or the source's own message
    camera string,            -- Serial number from the labels file or EXIF; null: unknown
    burst_rule string,        -- The gaps that `burst_id` and `group_id` were computed with
    file_series string,       -- Folder (without the label's) and file name up to its number
    file_number long,         -- The number in the file name; null: it has none
    removed_at timestamp,     -- Since when the path is gone from its source; null: it exists
    content_path string,      -- `path` of the row that stores these bytes; null: this row, or none
    content_at timestamp      -- `ingested_at` of the row that stores these bytes
"""

# One row per (content_hash, backbone): features of the same bytes are never computed twice.
FEATURES = """
    content_hash string,      -- SHA-256 of the bytes; joins with `images`
    backbone string,          -- Feature id: name, weights digest and preprocessing [/motion1 | /detection1] [/flipped]
    features array<float>,    -- The feature vector; null where failure is set
    failure string,           -- A failure name; null: the features exist
    featurized_at timestamp,  -- Time at which they were computed
    failure_detail string,    -- The decoder's own message
    fallback string           -- Why a view shows the whole image, as in `regions`; null: it shows the crop
"""

# Where the views of `featurize.views` look: the newest row of a (content_hash, view) is in force; append-only. An image
# keeps its crop for motion, whatever images the station gets later; newer detections give a newer row.
REGIONS = """
    content_hash string,      -- SHA-256 of the bytes
    view string,              -- motion1, motion_statistics1 or detection1: view and revision of its rule; -bottom and
                              -- `images.crop_bottom`
    x double,                 -- Left edge of the crop, as a fraction of the width; null: the whole image
    y double,                 -- Upper edge, as a fraction of the height
    width double,             -- Fraction of the width
    height double,            -- Fraction of the height
    fallback string,          -- no_station, few_images, no_motion, no_detection, unreadable; null: there is a crop
    background_images int,    -- Number of images of the background; null: no background
    detections_at timestamp,  -- `imported_at` of the detections used; null: none
    located_at timestamp,     -- Start of the featurize that located it
    statistics array<float>   -- Of the motion, for motion_statistics1; null: no background
"""

# One row per (path, content_hash, model_version).
PREDICTIONS = """
    path string,                        -- Full URI of the image
    content_hash string,                -- SHA-256 of the bytes that were scored
    prediction string,                  -- The most probable label; null where failure is set
    score double,                       -- Probability of `prediction`
    probabilities map<string,double>,   -- Probability of every label; they sum to 1
    burst_id string,                    -- Burst of the image when it was scored
    burst_prediction string,            -- Most probable label of the burst; `prediction` without burst aggregation
    burst_score double,                 -- Probability of `burst_prediction`
    needs_review boolean,               -- Whether a person must look at the image
    model_name string,                  -- Registered model
    model_version string,               -- Its version
    backbone string,                    -- Feature ids that the version uses, joined by +
    failure string,                     -- A failure name; null: scored
    scored_at timestamp,                -- Time of scoring
    review_rule string                  -- Settings that `needs_review` follows; null: written by an earlier version
"""

# One row per decision of a person about an image; append-only. The newest of a content that was not undone is in force,
# before the label of the labels file or folder.
LABELS = """
    decision_id string,       -- The key: a random UUID
    content_hash string,      -- SHA-256 of the bytes that were looked at, so that moved files keep their labels
    path string,              -- Where they were found
    label string,             -- Null: cannot tell (`unknown`), or no decision (`skip`, `undo`)
    action string,            -- confirm, correct, unknown, skip or undo
    undoes string,            -- `decision_id` of the decision that an `undo` takes back
    scope string,             -- image, or burst: all its images got the label at once
    previous_label string,    -- The label in force before
    predicted string,         -- What the model had predicted for the image, or for its burst in scope burst
    score double,             -- Probability of `predicted`
    model_version string,     -- Version of that model; null: there was none
    burst_id string,          -- Burst of the image
    group_id string,          -- Group of the image
    queue string,             -- Why it was shown: review, audit, suspects, suggest, class, search, import
    is_model_chosen boolean,  -- Whether a model chose the group while none of its images had a label: see concepts
    reviewer string,          -- Who decided
    reviewed_at timestamp,    -- When, in UTC
    seconds double,           -- How long it was on the screen; null: unknown
    session string,           -- Id of the review session, or the file of an import
    source string,            -- review, or the format of an import
    comment string            -- Free text
"""

# One row per box that a detector found, and one per image in which it found nothing; append-only. A box belongs to the
# content, like a decision. The boxes of a content are those of the newest import or `irbis detect`.
DETECTIONS = """
    content_hash string,      -- SHA-256 of the bytes
    path string,              -- Where they were found
    number int,               -- Of the box in its image and file, from 0; -1: the detector found nothing
    category string,          -- animal, person, vehicle, or the detector's own name; null where number is -1
    score double,             -- Confidence of the detector; null: a person has drawn the box
    x double,                 -- Left edge, as a fraction of the width
    y double,                 -- Upper edge, as a fraction of the height
    width double,             -- Fraction of the width
    height double,            -- Fraction of the height
    label string,             -- The classifier's most probable label for the box; null: none
    label_score double,       -- Probability of `label`
    detector string,          -- Name and version, as in the file; of `irbis detect` its file and settings
    source string,            -- Format of the file, or detect
    file string,              -- Name of the file, or of the detector's file
    file_sha256 string,       -- Of its content: the same file is imported, and the same detector run, once
    imported_at timestamp,    -- Time of the import, or of the run of `irbis detect`
    failure string,           -- A failure name, number is -1: the detector could not see the image; null: it has
    failure_detail string     -- The decoder's own message
"""

# One row per (content_hash, model_version) of `irbis explain`: where the model looks, not where the animal is.
BOXES = """
    content_hash string,      -- SHA-256 of the bytes
    path string,              -- Where they were found
    model_name string,        -- Registered model
    model_version string,     -- Its version
    label string,             -- The class that the box is for: the most probable one that is not blank
    x double,                 -- Left edge, as a fraction of the width; null: a failure, or a map without a maximum
    y double,                 -- Upper edge, as a fraction of the height
    width double,             -- Fraction of the width
    height double,            -- Fraction of the height
    peak_x double,            -- The maximum of the map in the box, as a fraction of the width
    peak_y double,            -- The maximum of the map in the box, as a fraction of the height
    method string,            -- exact, up_to_scale, surrogate or partial: see the guide; null where failure is set
    failure string,           -- A failure name; null: explained
    failure_detail string,    -- The decoder's own message, or why there is no box
    explained_at timestamp    -- Time of the run
"""

# One row per registered source of images: `irbis datasets`.
DATASETS = """
    name string,                -- The key
    images string,              -- Folder or URI, as it was given
    labels string,              -- A labels file, `folder`, `folder:N` or `none`
    station string,             -- Station rule, as in `sources.station`
    extensions array<string>,   -- As in `sources.extensions`
    root string,                -- Common beginning of the paths of its images
    registered_at timestamp,    -- Time of the last `irbis datasets add`
    columns map<string,string>  -- As in `sources.columns`
"""


def parse_ddl(schema: str) -> dict[str, str]:
    """Return the columns of a table in order: name to type."""
    lines = (line.split("--")[0].strip().rstrip(",") for line in schema.strip().splitlines())
    return {name: kind for name, _, kind in (line.partition(" ") for line in lines if line)}


class SourceFile(NamedTuple):
    """A listed file. `path` is its full URI as stored, unescaped; `etag` changes when the bytes do."""

    path: str
    relative_path: str
    size: int
    modified_at: datetime | None  # null: the source reports no time that a table can hold
    etag: str
    md5: bytes | None = None  # where the source reports it


class Decision(NamedTuple):
    """A row of LABELS; texts that are unknown are None."""

    decision_id: str
    content_hash: str
    path: str
    label: str | None
    action: str
    undoes: str | None = None
    scope: str = "image"
    previous_label: str | None = None
    predicted: str | None = None
    score: float | None = None
    model_version: str | None = None
    burst_id: str | None = None
    group_id: str | None = None
    queue: str = "review"
    is_model_chosen: bool = False
    reviewer: str = ""
    reviewed_at: datetime | None = None
    seconds: float | None = None
    session: str | None = None
    source: str = "review"
    comment: str | None = None
