"""Find the image that a path means, wherever it was written from, in whatever case and with whatever slashes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

Index = dict[str, list[str]]  # folded path, or its end -> images


@dataclass
class PathMatches:
    """Hold which image each path means.

    `images`: told path -> path of the image. `folded`: those that differ in upper and lower case. `unsure`: paths that
    could mean several images. `cut`: beginnings that were taken off.
    """

    images: dict[str, str] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    by_name: bool = False  # the paths begin further down than the images


def match_paths(paths: Collection[str], all_images: Collection[str], root: str = "") -> PathMatches:
    """Return the images that paths mean, whether they were written from there, from further up or further down.

    One rule holds for all: the same number of folders is taken off every path. Each path on its own could find a
    namesake in another folder. Only a path that goes through the folder of the images itself needs no rule. Upper and
    lower case count only where several images differ in nothing else.
    """
    relative = {path: strip_root(path) for path in paths}
    tails, level = _find_best_level(relative, all_images)
    if not any(tails.values()):
        return _match_by_ends(relative, all_images)
    folder = root.rstrip("/").rpartition("/")[2].casefold()
    if level:
        _drop_other_folders(relative, tails, root)
    matches = _resolve(tails, all_images)
    rest = {
        path: tail
        for path in relative
        if path not in matches.images and (tail := _path_after_folder(relative[path], folder))
    }
    by_folder = _resolve(rest, all_images)
    matches.images |= by_folder.images
    matches.folded += by_folder.folded
    matches.ambiguous = {path: images for path, images in matches.ambiguous.items() if path not in by_folder.images}
    if level:
        beginnings = Counter(path[: len(path) - len(tail)].rstrip("/") for path, tail in tails.items() if tail)
        matches.prefixes = [prefix for prefix, _ in beginnings.most_common() if prefix]
    return matches


def casefold_path(path: str) -> str:
    """Return a path without what differs between file systems: case, and doubled slashes."""
    return re.sub("/+", "/", path.casefold()) if "//" in path else path.casefold()


def strip_root(path: str) -> str:
    """Return a path without scheme, drive, query and leading dots and slashes."""
    path = re.sub(r"^[a-z][a-z0-9+.-]+://", "", path, flags=re.IGNORECASE)
    path = re.sub(r"^[A-Za-z]:/*", "", path)
    return re.sub(r"/(\./|/)+", "/", re.sub(r"^(\.{0,2}/)+", "", path))


def _find_best_level(relative: dict[str, str], all_images: Collection[str]) -> tuple[dict[str, str], int]:
    """Return what is left of each path below as many folders as let most of them be found, and how many these are.

    Where a whole path is that of an image, none is taken off. Empty texts are left where nothing is found.
    """
    if any(path in all_images for path in relative.values()):
        return relative, 0
    folded = {casefold_path(path) for path in all_images}
    best: tuple[dict[str, str], int] = (dict.fromkeys(relative, ""), 0)
    rest, best_count, level = relative, 0, 0
    while any(rest.values()) and best_count < len(relative):
        count = sum(casefold_path(tail) in folded for tail in rest.values() if tail)
        if count > best_count:
            best, best_count = (rest, level), count
        rest, level = {path: tail.partition("/")[2] for path, tail in rest.items()}, level + 1
    return best


def _drop_other_folders(relative: dict[str, str], tails: dict[str, str], root: str) -> None:
    """Empty the tails of paths whose beginning is not the folder of the images, where that of others is.

    With images of `survey/2024`, a row `2023/S1/1.jpg` means no image, although `2024/S1/1.jpg` means `S1/1.jpg`.
    """
    end = [part.casefold() for part in root.split("/") if part][::-1]
    beginnings = {
        path: relative[path][: len(relative[path]) - len(tail)].strip("/") for path, tail in tails.items() if tail
    }
    common = {
        prefix: _count_common_parts(prefix.casefold().split("/")[::-1], end) for prefix in set(beginnings.values())
    }
    best_count = max(common.values(), default=0)
    for path, prefix in beginnings.items():
        if common[prefix] == 0 < best_count:
            tails[path] = ""


def _count_common_parts(parts: list[str], others: list[str]) -> int:
    count = 0
    for part, other in zip(parts, others, strict=False):
        if part != other:
            break
        count += 1
    return count


def _path_after_folder(path: str, folder: str) -> str:
    """Return what stands below the folder of the images in a path; empty where it does not go through it."""
    parts = path.split("/")
    positions = [i for i, part in enumerate(parts[:-1]) if folder and part.casefold() == folder]
    return "/".join(parts[positions[-1] + 1 :]) if positions else ""


def _resolve(tails: dict[str, str], all_images: Collection[str]) -> PathMatches:
    """Return the image of each tail: the one of that very path, else the only one that differs in case alone."""
    matches = PathMatches(images={path: tail for path, tail in tails.items() if tail in all_images})
    taken = set(matches.images.values())
    keys = {casefold_path(tail) for path, tail in tails.items() if tail and path not in matches.images}
    index: Index = {}
    for image in all_images if keys else ():
        if (key := casefold_path(image)) in keys:
            index.setdefault(key, []).append(image)
    for path, tail in tails.items():
        images = index.get(casefold_path(tail), []) if tail and path not in matches.images else []
        if len(images) > 1:
            matches.ambiguous[path] = images
        elif images and images[0] not in taken:
            matches.images[path] = images[0]
            matches.folded.append(path)
    return matches


def _match_by_ends(relative: dict[str, str], all_images: Collection[str]) -> PathMatches:
    """Return the images whose paths end with the told ones, which were written from a folder further down."""
    index: Index = {casefold_path(path): [] for path in relative.values()}
    for image in all_images:
        end = image
        while end := end.partition("/")[2]:
            if (key := casefold_path(end)) in index:
                index[key].append(image)
    matches = PathMatches(by_name=True)
    for path, end in relative.items():
        images = index[casefold_path(end)] if end else []
        exact = [image for image in images if image.endswith(f"/{end}")]
        if len(exact or images) > 1:
            matches.ambiguous[path] = exact or images
        elif images:
            matches.images[path] = (exact or images)[0]
            matches.folded += [] if exact else [path]
    return matches


def match_paths_anywhere(paths: Collection[str], all_images: Collection[str]) -> PathMatches:
    """Return the images of that name anywhere below the folder that a path begins with."""
    parts = {path: casefold_path(path).split("/") for path in paths}
    keys = {path: (names[0], names[-1]) for path, names in parts.items() if len(names) > 1}
    index: dict[tuple[str, str], list[str]] = {key: [] for key in keys.values()}
    for image in all_images:
        *folders, name = casefold_path(image).split("/")
        for folder in set(folders):
            if (folder, name) in index:
                index[folder, name].append(image)
    matches = PathMatches(by_name=True)
    for path, key in keys.items():
        if len(index[key]) > 1:
            matches.ambiguous[path] = index[key]
        elif index[key]:
            matches.images[path] = index[key][0]
    return matches
