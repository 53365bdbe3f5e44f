"""Ids of features: name@weights/preprocessing[/fast][/view][/flipped], several joined by +.

A view is the part of the image that the network sees: the whole image, without a suffix, or a crop around what moved
or around a detected animal. Motion statistics are a view too, which the network does not see.
"""

from __future__ import annotations

import re

ID_SEPARATOR = "+"  # joins the names, and the feature ids, of backbones and views whose features are concatenated
FLIPPED_SUFFIX = "/flipped"  # suffix of the feature id of horizontally flipped images

# Values of featurize.views.
WHOLE, MOTION, MOTION_STATISTICS, DETECTION = "whole", "motion", "motion_statistics", "detection"
# Suffix of the feature id and key in the table regions: view and revision of the rule that finds the crop.
VIEW_IDS = {MOTION: "motion1", MOTION_STATISTICS: "motion_statistics1", DETECTION: "detection1"}
_NAMES = {view_id: name for name, view_id in VIEW_IDS.items()}
_CROP_BOTTOM = re.compile(r"-(bottom[^/]+)")  # at the end of the preprocessing


def split_ids(backbone: str) -> list[str]:
    """Return the feature ids in a joined one, `a@1/x+b@2/y`, in order; a single one alone."""
    return backbone.split(ID_SEPARATOR)


def flipped_id(backbone: str) -> str:
    """Return the feature id of the flipped images; of a joined id, that of every part."""
    return ID_SEPARATOR.join(part + FLIPPED_SUFFIX for part in split_ids(backbone))


def view_feature_id(backbone: str, view: str) -> str:
    """Return the feature id of a view (a value of featurize.views) of a single backbone."""
    return f"{backbone}/{VIEW_IDS[view]}" if view in VIEW_IDS else backbone


def region_view(part: str) -> str | None:
    """Return the key of a feature id's view in the table regions; None for the whole image.

    It includes the fraction cut off at the bottom, which the crops must stay out of: `motion1-bottom0.07`.
    """
    view = next((name for name in part.split("/") if name in _NAMES), None)
    cut = _CROP_BOTTOM.search(part)
    return f"{view}-{cut[1]}" if view and cut else view


def whole_feature_id(part: str) -> str:
    """Return the feature id of the whole image for that of a crop of it, flipped if that is."""
    return "/".join(name for name in part.split("/") if name not in _NAMES)


def is_statistics(feature_id: str) -> bool:
    """Return whether a feature id, or a key of the table regions, is of motion statistics."""
    return any(name.partition("-")[0] == VIEW_IDS[MOTION_STATISTICS] for name in feature_id.split("/"))


def is_detection(view: str | None) -> bool:
    """Return whether a key of the table regions is of the view of detections."""
    return view is not None and view.partition("-")[0] == VIEW_IDS[DETECTION]


def backbone_names(backbone: str) -> str:
    """Return the value of `--backbone` that computes features of this id: `a+b`."""
    names = (part.partition("@")[0] for part in split_ids(backbone))
    return ID_SEPARATOR.join(dict.fromkeys(names))


def view_names(backbone: str) -> list[str]:
    """Return the value of `featurize.views` that computes features of this id."""
    views = (next((_NAMES[name] for name in part.split("/") if name in _NAMES), WHOLE) for part in split_ids(backbone))
    return list(dict.fromkeys(views))


def featurize_options(backbone: str) -> str:
    """Return the options of `irbis featurize` that compute features of this id."""
    views = view_names(backbone)
    option = f" --set featurize.views={','.join(views)}" if views != [WHOLE] else ""
    return f"--backbone {backbone_names(backbone)}{option}"
