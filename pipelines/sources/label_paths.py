"""Match paths of a labels file to images, whatever their leading folders, case and slashes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

Index = dict[str, list[str]]  # casefolded path, or its end -> images


@dataclass
class PathMatches:
    """The images that paths match.

    `images`: path in the labels file -> path of the image. `folded`: paths that differ from their image in case.
    `ambiguous`: paths that match several images. `prefixes`: leading folders that were removed.
    """

    images: dict[str, str] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    by_name: bool = False  # the paths lack leading folders of the images


def match_paths(paths: Collection[str], all_images: Collection[str], root: str = "") -> PathMatches:
    """Match paths that have the same, additional or missing leading folders compared to the images.

    The same number of folders is removed from every path: matched one by one, a path could find a file of the same
    name in another folder. Only a path that contains the folder of the images itself is matched on its own. Case
    matters only where several images differ in nothing else.
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
    """Normalize what differs between file systems: case and repeated slashes."""
    return re.sub("/+", "/", path.casefold()) if "//" in path else path.casefold()


def strip_root(path: str) -> str:
    """Remove the scheme, the drive, and leading dots and slashes of a path."""
    path = re.sub(r"^[a-z][a-z0-9+.-]+://", "", path, flags=re.IGNORECASE)
    path = re.sub(r"^[A-Za-z]:/*", "", path)
    return re.sub(r"/(\./|/)+", "/", re.sub(r"^(\.{0,2}/)+", "", path))


def _find_best_level(relative: dict[str, str], all_images: Collection[str]) -> tuple[dict[str, str], int]:
    """Return each path without the number of leading folders that yields the most matches, and that number.

    It is 0 if any complete path is that of an image. All texts are empty if nothing matches.
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
    """Empty the tails of paths whose prefix is not the folder of the images, if the prefix of other paths is.

    With images in `survey/2024`, a row `2023/S1/1.jpg` matches no image, although `2024/S1/1.jpg` matches `S1/1.jpg`.
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
    """Return the part of a path after the folder of the images; empty if the path does not contain it."""
    parts = path.split("/")
    positions = [i for i, part in enumerate(parts[:-1]) if folder and part.casefold() == folder]
    return "/".join(parts[positions[-1] + 1 :]) if positions else ""


def _resolve(tails: dict[str, str], all_images: Collection[str]) -> PathMatches:
    """Match each tail to the image with that path, else to the only image that differs in case alone."""
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
    """Match paths to images that end with them: the paths lack leading folders."""
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
    """Match paths `folder/name` to the image of that name anywhere below that folder."""
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
