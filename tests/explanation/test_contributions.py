"""Contribution maps sum to the logit, whatever the pooling."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.explanation.contributions import LayerNorm, contributions, pool

RNG = np.random.default_rng(4)
LAYERS = (RNG.gamma(2, size=(3, 6, 8, 8)).astype(np.float32), RNG.gamma(1, size=(3, 4, 5, 4)).astype(np.float32))
NORM = LayerNorm(RNG.normal(size=6), RNG.normal(size=6))


@pytest.mark.parametrize(
    ("pooling", "layers", "norm"),
    [("mean", LAYERS[:1], None), ("mean_std", LAYERS, None), ("mean_norm", LAYERS[:1], NORM)],
)
def test_the_means_of_the_maps_and_the_constant_are_the_logit(pooling, layers, norm) -> None:
    features = pool(layers, pooling, norm)
    weights = RNG.normal(size=features.shape)
    found = contributions(weights, layers, pooling, norm)
    assert [values.shape for values in found.maps] == [(3, *layer.shape[2:]) for layer in layers]
    logits = sum(values.mean(axis=(1, 2)) for values in found.maps) + found.constant
    np.testing.assert_allclose(logits, (weights * features).sum(axis=1), atol=1e-5)


def test_a_map_is_high_where_the_weighted_channel_is() -> None:
    layer = np.zeros((1, 2, 5, 5), np.float32)
    layer[0, 0, 1, 3], layer[0, 1, 4, 0] = 10, 5
    (values,) = contributions(np.array([[2.0, -1.0]]), [layer], "mean").maps
    assert values[0, 1, 3] == 20 and values[0, 4, 0] == -5 and np.count_nonzero(values) == 2


def test_a_deviation_counts_places_far_from_the_mean_on_both_sides() -> None:
    layer = np.full((1, 1, 4, 4), 3.0, np.float32)
    layer[0, 0, 0, 0], layer[0, 0, 3, 3] = 6, 0
    (values,) = contributions(np.array([[0.0, 1.0]]), [layer], "mean_std").maps
    assert values[0, 0, 0] == pytest.approx(values[0, 3, 3]) and values[0, 0, 0] > 100 * values[0, 1, 1]


def test_weights_of_other_features_and_a_missing_norm_are_refused() -> None:
    with pytest.raises(ValueError, match="7 weights do not fit the 6 features"):
        contributions(np.zeros((3, 7)), LAYERS[:1], "mean")
    with pytest.raises(ValueError, match="LayerNorm"):
        contributions(np.zeros((3, 6)), LAYERS[:1], "mean_norm")
