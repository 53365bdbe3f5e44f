"""What is decided with a model version's probabilities: how a burst votes, and from where on a person must look."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pipelines.evaluation.operating_point import OperatingPoint


@dataclass(frozen=True)
class ReviewPolicy:
    """Hold the weight of the maximum in a burst's vote (the rest is the mean's), and operating points on the votes.

    A weight of None means no vote: every image keeps its own probabilities.

    A class of interest of which no picture was held out has no point. `both_views`: the probabilities are the
    mean of those of the picture and of its mirror image.
    """

    max_weight: float | None = 0.0
    classes_of_interest: tuple[str, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    average_flip: bool = False

    def thresholds(self, unit: str, recall: float) -> dict[str, float]:
        """Give the probability of each class of interest below which a picture may be dismissed, where it is known."""
        return {
            each.label: each.threshold
            for each in self.operating_points
            if (each.unit, each.recall) == (unit, recall) and each.is_reliable
        }

    def classes_without_threshold(self, unit: str, recall: float) -> list[str]:
        """Give the classes of interest by which no picture may be dismissed: too few groups with them were held out."""
        known = self.thresholds(unit, recall)
        return [label for label in self.classes_of_interest if label not in known]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> ReviewPolicy:
        """Give back what `to_json` wrote; None, of a version from before there were decisions: the mean, no points."""
        if text is None:
            return cls()
        values = json.loads(text)
        points = tuple(OperatingPoint(**point) for point in values["points"])
        return cls(values["weight"], tuple(values["interesting"]), points, values.get("both_views", False))
