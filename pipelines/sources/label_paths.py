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
    unsure: dict[str, list[str]] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    by_name: bool = False  # the paths begin further down than the images


def match_paths(told: Collection[str], known: Collection[str], root: str = "") -> PathMatches:
    """Return the images that paths mean, whether they were written from there, from further up or further down.

    One rule holds for all: the same number of folders is taken off every path. Each path on its own could find a
    namesake in another folder. Only a path that goes through the folder of the images itself needs no rule. Upper and
    lower case count only where several images differ in nothing else.
    """
    whole = {path: anchor(path) for path in told}
    tails, level = _best_level(whole, known)
    if not any(tails.values()):
        return _by_ends(whole, known)
    folder = root.rstrip("/").rpartition("/")[2].casefold()
    if level:
        _drop_other_folders(whole, tails, root)
    located = _resolve(tails, known)
    rest = {path: tail for path in whole if path not in located.images and (tail := _below(whole[path], folder))}
    through = _resolve(rest, known)
    located.images |= through.images
    located.folded += through.folded
    located.unsure = {path: images for path, images in located.unsure.items() if path not in through.images}
    if level:
        beginnings = Counter(path[: len(path) - len(tail)].rstrip("/") for path, tail in tails.items() if tail)
        located.cut = [start for start, _ in beginnings.most_common() if start]
    return located


def fold(path: str) -> str:
    """Return a path without what differs between file systems: case, and doubled slashes."""
    return re.sub("/+", "/", path.casefold()) if "//" in path else path.casefold()


def anchor(path: str) -> str:
    """Return a path without scheme, drive, query and leading dots and slashes."""
    path = re.sub(r"^[a-z][a-z0-9+.-]+://", "", path, flags=re.IGNORECASE)
    path = re.sub(r"^[A-Za-z]:/*", "", path)
    return re.sub(r"/(\./|/)+", "/", re.sub(r"^(\.{0,2}/)+", "", path))


def _best_level(whole: dict[str, str], known: Collection[str]) -> tuple[dict[str, str], int]:
    """Return what is left of each path below as many folders as let most of them be found, and how many these are.

    Where a whole path is that of an image, none is taken off. Empty texts are left where nothing is found.
    """
    if any(path in known for path in whole.values()):
        return whole, 0
    folded = {fold(path) for path in known}
    best: tuple[dict[str, str], int] = (dict.fromkeys(whole, ""), 0)
    rest, most, level = whole, 0, 0
    while any(rest.values()) and most < len(whole):
        count = sum(fold(tail) in folded for tail in rest.values() if tail)
        if count > most:
            best, most = (rest, level), count
        rest, level = {path: tail.partition("/")[2] for path, tail in rest.items()}, level + 1
    return best


def _drop_other_folders(whole: dict[str, str], tails: dict[str, str], root: str) -> None:
    """Empty the tails of paths whose beginning is not the folder of the images, where that of others is.

    With images of `survey/2024`, a row `2023/S1/1.jpg` means no image, although `2024/S1/1.jpg` means `S1/1.jpg`.
    """
    end = [part.casefold() for part in root.split("/") if part][::-1]
    beginnings = {path: whole[path][: len(whole[path]) - len(tail)].strip("/") for path, tail in tails.items() if tail}
    shared = {start: _shared(start.casefold().split("/")[::-1], end) for start in set(beginnings.values())}
    most = max(shared.values(), default=0)
    for path, start in beginnings.items():
        if shared[start] == 0 < most:
            tails[path] = ""


def _shared(parts: list[str], others: list[str]) -> int:
    count = 0
    for part, other in zip(parts, others, strict=False):
        if part != other:
            break
        count += 1
    return count


def _below(path: str, folder: str) -> str:
    """Return what stands below the folder of the images in a path; empty where it does not go through it."""
    parts = path.split("/")
    places = [i for i, part in enumerate(parts[:-1]) if folder and part.casefold() == folder]
    return "/".join(parts[places[-1] + 1 :]) if places else ""


def _resolve(tails: dict[str, str], known: Collection[str]) -> PathMatches:
    """Return the image of each tail: the one of that very path, else the only one that differs in case alone."""
    located = PathMatches(images={path: tail for path, tail in tails.items() if tail in known})
    taken = set(located.images.values())
    wanted = {fold(tail) for path, tail in tails.items() if tail and path not in located.images}
    index: Index = {}
    for image in known if wanted else ():
        if (key := fold(image)) in wanted:
            index.setdefault(key, []).append(image)
    for path, tail in tails.items():
        images = index.get(fold(tail), []) if tail and path not in located.images else []
        if len(images) > 1:
            located.unsure[path] = images
        elif images and images[0] not in taken:
            located.images[path] = images[0]
            located.folded.append(path)
    return located


def _by_ends(whole: dict[str, str], known: Collection[str]) -> PathMatches:
    """Return the images whose paths end with the told ones, which were written from a folder further down."""
    index: Index = {fold(path): [] for path in whole.values()}
    for image in known:
        end = image
        while end := end.partition("/")[2]:
            if (key := fold(end)) in index:
                index[key].append(image)
    located = PathMatches(by_name=True)
    for path, end in whole.items():
        images = index[fold(end)] if end else []
        exact = [image for image in images if image.endswith(f"/{end}")]
        if len(exact or images) > 1:
            located.unsure[path] = exact or images
        elif images:
            located.images[path] = (exact or images)[0]
            located.folded += [] if exact else [path]
    return located


def match_paths_anywhere(told: Collection[str], known: Collection[str]) -> PathMatches:
    """Return the images of that name anywhere below the folder that a path begins with."""
    parts = {path: fold(path).split("/") for path in told}
    wanted = {path: (names[0], names[-1]) for path, names in parts.items() if len(names) > 1}
    index: dict[tuple[str, str], list[str]] = {key: [] for key in wanted.values()}
    for image in known:
        *folders, name = fold(image).split("/")
        for folder in set(folders):
            if (folder, name) in index:
                index[folder, name].append(image)
    located = PathMatches(by_name=True)
    for path, key in wanted.items():
        if len(index[key]) > 1:
            located.unsure[path] = index[key]
        elif index[key]:
            located.images[path] = index[key][0]
    return located
