"""Everything the report shows, as plain values. The report stage fills them; nothing here knows Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import OperatingPointResult


@dataclass(frozen=True)
class FailureCount:
    """Hold one kind of failure, how often it was met, and one example of it."""

    name: str
    count: int
    example_path: str = ""
    example_detail: str = ""


@dataclass(frozen=True)
class Conflict:
    """Hold identical bytes that were given several labels: each path with its label."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelCount:
    """Hold how many images have a label, and how they are split."""

    label: str
    train: int = 0
    validation: int = 0
    test: int = 0
    left_out: int = 0  # labelled, but in no split: conflicts, failures, classes that were left out

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test + self.left_out


@dataclass(frozen=True)
class DataSummary:
    """Hold the counts of the images. `files` counts paths, `rows` also counts their older versions."""

    files: int
    rows: int
    images: int  # distinct bytes
    labelled: int = 0
    stations: int = 0
    bursts: int = 0
    groups: int = 0
    duplicates: int = 0  # paths whose bytes are also under another path
    first_capture: datetime | None = None
    last_capture: datetime | None = None
    labels: tuple[LabelCount, ...] = ()
    failures: tuple[FailureCount, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class ModelSummary:
    """Hold what a reader must know to trust, or to find again, the model."""

    name: str
    version: str
    backbone: str
    is_champion: bool = False
    trained_at: datetime | None = None
    settings: dict[str, str] = field(default_factory=dict)  # settings of note, in the order to show them
    gate: str = ""  # why it became champion, or why not, in a sentence


@dataclass(frozen=True)
class ImageCard:
    """Hold one image to show. `thumbnail` is a data URI (data:image/jpeg;base64,...) or None."""

    path: str
    thumbnail: str | None = None
    label: str | None = None
    prediction: str | None = None
    score: float | None = None  # probability of the prediction
    station: str | None = None
    captured_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class PredictionCount:
    """Hold how many images were predicted to be `label`, and how many of them a person should look at."""

    label: str
    count: int
    needs_review: int = 0


@dataclass(frozen=True)
class ReportContents:
    """Hold everything the report shows. What is None or empty gets a sentence that says what to do.

    `by_station` maps a station to the counts of its predicted labels. `by_hour` maps a predicted label to
    24 counts, by the hour of the camera's own clock. `confident` maps a label to the images that the model
    is surest of. `classes_of_interest` stand first; empty: all but blanks.
    """

    title: str
    created_at: datetime
    workspace: str
    version: str  # of irbis
    data: DataSummary | None = None
    model: ModelSummary | None = None
    evaluation: Evaluation | None = None  # on the test images, or with `folds` by cross-validation
    folds: int = 0  # of the cross-validation that evaluation, voted and reviews are of; 0: they are of test
    caveats: tuple[str, ...] = ()  # sentences that stand beside the figures
    validation: Evaluation | None = None
    voted: Evaluation | None = None  # on the test images, after the vote of their bursts
    reviews: tuple[OperatingPointResult, ...] = ()  # what each operating point costs and finds on test
    classes_of_interest: tuple[str, ...] = ()
    predictions: tuple[PredictionCount, ...] = ()
    scored_new: int | None = None  # scored images without a label; None: not counted
    most_wrong: tuple[ImageCard, ...] = ()
    least_sure: tuple[ImageCard, ...] = ()
    confident: dict[str, tuple[ImageCard, ...]] = field(default_factory=dict)
    by_station: dict[str, dict[str, int]] = field(default_factory=dict)
    by_hour: dict[str, tuple[int, ...]] = field(default_factory=dict)
