"""Contents of the report as plain values, filled by the report stage. No Spark here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import OperatingPointResult


@dataclass(frozen=True)
class FailureCount:
    """One kind of failure: its name, how often it occurred, and one example."""

    name: str
    count: int
    example_path: str = ""
    example_detail: str = ""


@dataclass(frozen=True)
class Conflict:
    """Images that should have one label but have several: each path with its label."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelCount:
    """Number of images with a label, by split."""

    label: str
    train: int = 0
    validation: int = 0
    test: int = 0
    left_out: int = 0  # labelled, but in no split: conflicts, failures, excluded classes

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test + self.left_out


@dataclass(frozen=True)
class DataSummary:
    """Counts of the images. `files` counts paths, `rows` also counts their older versions."""

    files: int
    rows: int
    images: int  # distinct bytes
    labelled: int = 0
    labelled_by_people: int = 0  # of them, by a person's decision and not by the source
    undecidable: int = 0  # without a label, because a person could not tell
    stations: int = 0
    bursts: int = 0
    groups: int = 0
    duplicates: int = 0  # paths whose bytes also exist under another path
    first_capture: datetime | None = None
    last_capture: datetime | None = None
    labels: tuple[LabelCount, ...] = ()
    failures: tuple[FailureCount, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class ModelSummary:
    """What a reader needs to trust the model and to find it again."""

    name: str
    version: str
    backbone: str
    trained_at: datetime | None = None
    settings: dict[str, str] = field(default_factory=dict)  # the parameters to show, in order
    gate: str = ""  # one sentence: why it became champion, or why not


@dataclass(frozen=True)
class AttentionBox:
    """Where the model looks in an image, from the table boxes, in fractions of the image; `label`: for which class.

    `aspect` is the width of the thumbnail divided by its height.
    """

    label: str
    x: float
    y: float
    width: float
    height: float
    aspect: float = 4 / 3


@dataclass(frozen=True)
class ImageCard:
    """One image to show. `thumbnail` is a data URI (data:image/jpeg;base64,...) or None; `box` is drawn on it."""

    path: str
    thumbnail: str | None = None
    label: str | None = None
    prediction: str | None = None
    score: float | None = None  # probability of the prediction
    station: str | None = None
    captured_at: datetime | None = None
    note: str = ""
    box: AttentionBox | None = None


@dataclass(frozen=True)
class LabelErrorSummary:
    """Labelled images whose label a model that was not trained on them doubts, the most doubtful first.

    `ranked` and `unranked` count the labelled images with and without such a prediction.
    """

    method: str
    ranked: int
    unranked: int = 0
    suspects: tuple[ImageCard, ...] = ()  # `prediction` is the suggested label, `score` the self-confidence


@dataclass(frozen=True)
class PredictionCount:
    """Number of images predicted as `label`, and how many of them need review."""

    label: str
    count: int
    needs_review: int = 0


@dataclass(frozen=True)
class ReportContents:
    """Everything the report shows. For a part that is None or empty, the page says what to do.

    `by_station` maps a station to the counts of its predicted labels. `by_hour` maps a predicted label to
    24 counts, by the hour of the camera's clock. `most_confident` maps a label to the images with its highest
    scores. `classes_of_interest` are listed first; empty: all but blanks.
    """

    title: str
    created_at: datetime
    workspace: str
    version: str  # of irbis
    data: DataSummary | None = None
    model: ModelSummary | None = None
    evaluation: Evaluation | None = None  # on the test images, or with `folds` by cross-validation
    folds: int = 0  # folds of the cross-validation behind evaluation, burst_evaluation and reviews; 0: test split
    caveats: tuple[str, ...] = ()  # sentences shown with the metrics
    validation: Evaluation | None = None
    burst_evaluation: Evaluation | None = None  # the same after burst aggregation
    reviews: tuple[OperatingPointResult, ...] = ()  # review share and recall of each operating point
    classes_of_interest: tuple[str, ...] = ()
    predictions: tuple[PredictionCount, ...] = ()
    scored_new: int | None = None  # scored images without a label; None: not counted
    most_wrong: tuple[ImageCard, ...] = ()
    least_confident: tuple[ImageCard, ...] = ()
    most_confident: dict[str, tuple[ImageCard, ...]] = field(default_factory=dict)
    label_errors: LabelErrorSummary | None = None
    by_station: dict[str, dict[str, int]] = field(default_factory=dict)
    by_hour: dict[str, tuple[int, ...]] = field(default_factory=dict)
