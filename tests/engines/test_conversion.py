"""What the conversion of a network changes, and what it must preserve."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from pipelines.engines.conversion import _drop_pooling_indices, _trace


@pytest.mark.parametrize(
    "pooling, has_indices",
    [
        (nn.MaxPool2d(3, 2), False),
        (nn.MaxPool2d(3, 2, padding=1), False),  # ResNet's
        (nn.MaxPool2d(3, 2, ceil_mode=True), False),  # SqueezeNet's
        (nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), True),  # torch leaves out windows that begin in the padding
        (nn.MaxPool2d(3, 1, dilation=2), True),
    ],
    ids=["plain", "padded", "ceil", "padded-ceil", "dilated"],
)
@pytest.mark.parametrize("side", [12, 13, 14])
def test_poolings_give_what_torch_gives_and_no_indices_where_these_can_be_spared(pooling, has_indices, side):
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side)) - 3  # padding must not win
    model = _trace(nn.Sequential(pooling), images)
    _drop_pooling_indices(model)
    kinds = {node.get_type_name(): len(node.outputs()) for node in model.get_ops()}
    assert (kinds["MaxPool"] == 2) == has_indices
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images.numpy()])[0]
    np.testing.assert_array_equal(found, pooling(images).numpy())
