"""Ids of features: views, names and options in them."""

from __future__ import annotations

import pytest

from pipelines.feature_ids import (
    backbone_names,
    featurize_options,
    flipped_id,
    is_detection,
    region_view,
    view_feature_id,
    view_names,
    whole_feature_id,
)

WHOLE = "net@1/squash224-bilinear"


@pytest.mark.parametrize(
    ("part", "view"),
    [
        (WHOLE, None),
        (f"{WHOLE}/fast/flipped", None),
        (f"{WHOLE}/motion1", "motion1"),
        (f"{WHOLE}/fast/detection1/flipped", "detection1"),
        (f"{WHOLE}-bottom0.07", None),
        (f"{WHOLE}-bottom0.07/motion1", "motion1-bottom0.07"),
        (f"{WHOLE}-bottom1e-05/fast/motion1/flipped", "motion1-bottom1e-05"),
    ],
)
def test_a_region_is_named_by_view_and_info_bar(part, view):
    assert region_view(part) == view


def test_the_whole_image_of_a_crop_has_the_id_without_the_view():
    assert whole_feature_id(f"{WHOLE}-bottom0.07/fast/motion1/flipped") == f"{WHOLE}-bottom0.07/fast/flipped"
    assert whole_feature_id(WHOLE) == WHOLE


def test_a_joined_id_names_each_backbone_and_view_once():
    other = "two@2/pad96-bilinear"
    joined = f"{WHOLE}+{other}+{view_feature_id(WHOLE, 'motion')}+{view_feature_id(other, 'motion')}"
    assert joined == f"{WHOLE}+{other}+{WHOLE}/motion1+{other}/motion1"
    assert backbone_names(joined) == "net+two"
    assert view_names(joined) == ["whole", "motion"] == view_names(flipped_id(joined))
    assert featurize_options(joined) == "--backbone net+two --set featurize.views=whole,motion"
    assert featurize_options(f"{WHOLE}+{other}") == "--backbone net+two"


def test_the_whole_image_keeps_its_id():
    assert view_feature_id(WHOLE, "whole") == WHOLE
    assert view_names(WHOLE) == ["whole"]


def test_views_of_detections_are_known_with_and_without_an_info_bar():
    assert is_detection("detection1") and is_detection("detection1-bottom0.1")
    assert not is_detection("motion1") and not is_detection(None)
