"""A random forest as arrays of nodes, which predicts as Spark ML's does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

LEAF = -1  # the feature of a leaf
_BLOCK = 1 << 20  # (image, tree) pairs that descend at a time


@dataclass(frozen=True)
class Forest:
    """The nodes of all trees, one after the other.

    A split sends a row to `left` if its `feature` is at most `threshold`, else to `right`; both are indices of nodes. A
    leaf has the feature LEAF, and `left` is its row of `distributions`, of shape (leaves, k), which sum to 1. `roots`
    are the first nodes of the trees.
    """

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    distributions: Floats
    roots: Ints

    @property
    def classes(self) -> int:
        return int(self.distributions.shape[1])

    def predict(self, features: Floats) -> Floats:
        """Return probabilities of shape (n, k): the mean of the distributions of the trees."""
        rows = max(1, _BLOCK // len(self.roots))
        blocks = [self._votes(features[start : start + rows]) for start in range(0, len(features), rows)]
        votes = np.concatenate(blocks) if blocks else np.zeros((0, self.classes))
        return np.asarray(votes / votes.sum(axis=1, keepdims=True))

    def _votes(self, features: Floats) -> Floats:
        """Return the sum of the distributions of all trees."""
        nodes = np.broadcast_to(self.roots, (len(features), len(self.roots))).copy()
        rows = np.arange(len(features))[:, None]
        while (is_split := self.feature[nodes] != LEAF).any():
            goes_left = features[rows, np.where(is_split, self.feature[nodes], 0)] <= self.threshold[nodes]
            nodes = np.where(is_split, np.where(goes_left, self.left[nodes], self.right[nodes]), nodes)
        return np.asarray(self.distributions[self.left[nodes]].sum(axis=1))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of `from_arrays` by name."""
        return {f"forest_{name}": value for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Forest:
        """Return the forest that `to_arrays` returned. Raises KeyError or ValueError for arrays of no forest."""
        forest = cls(**{name: arrays[f"forest_{name}"] for name in cls.__dataclass_fields__})
        nodes, is_leaf = np.arange(len(forest.feature)), forest.feature == LEAF
        leaves, splits = forest.left[is_leaf], ~is_leaf
        children = np.concatenate([forest.left[splits], forest.right[splits], forest.roots])
        # Children come after their parents: every descent ends.
        is_ordered = (forest.left[splits] > nodes[splits]).all() and (forest.right[splits] > nodes[splits]).all()
        is_inside = not len(children) or (children.min() >= 0 and children.max() < len(nodes))
        if not (len(forest.roots) and is_ordered and is_inside and _are_rows(leaves, forest.distributions)):
            raise ValueError("the nodes of the forest do not form trees")
        return forest


def _are_rows(index: Ints, table: Floats) -> bool:
    return bool(len(index)) and table.ndim == 2 and int(index.min()) >= 0 and int(index.max()) < len(table)
