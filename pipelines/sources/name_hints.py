"""Find labels and stations that are probably mistakes. Nothing is changed; each is reported in a sentence."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from pipelines.config.settings import Sources
from pipelines.sources.labels import is_labels_file
from pipelines.sources.path_rules import label_level

MAX_EXAMPLES = 3  # names in a sentence
# Folder names of cameras (JEITA CP-3461) and of programs that extract video frames.
_CAMERA_FOLDER = re.compile(
    r"DCIM|[1-9]\d\d(?!\d{5})[A-Z0-9_]{5}|.*\.(?:mp4|avi|mov|m4v|mpe?g|mkv|wmv|mts|3gp)", re.IGNORECASE
)


class NameHints:
    """The folders of images with the label and station read from them."""

    def __init__(self, rules: Sources) -> None:
        self.rules = rules
        self.has_folder_labels = not is_labels_file(rules.labels) and rules.labels != "none"
        self.stations: Counter[str] = Counter()
        self.folders: Counter[tuple[str, str | None, str | None]] = Counter()  # images by folder, label and station

    def add(self, path: str, label: str | None, station: str | None) -> None:
        """Count an image by its path below the source, with its label and station."""
        self.folders[path.rpartition("/")[0], label, station] += 1
        if station:
            self.stations[station] += 1

    def notes(self, labels: Mapping[str | None, int]) -> list[str]:
        """Return the sentences. `labels`: images, or rows of a labels file, by label."""
        notes = [*_note_similar_names("Labels", filter(None, labels))]
        notes += _note_similar_names("Stations", self.stations)
        if self.has_folder_labels:
            notes += [*self._camera_folders(), *self._nested()]
        return [*notes, *self._same_folder(), *self._shared_stations()]

    def _camera_folders(self) -> list[str]:
        counts = Counter[str]()
        for (_, label, _), count in self.folders.items():
            if label and _CAMERA_FOLDER.fullmatch(label):
                counts[label] += count
        if not counts:
            return []
        return [
            f"{sum(counts.values()):,} images have a label that is a camera's name for a folder or video "
            f"({_format_names(counts)}). If the label is another folder of the path: --labels folder:N. If no folder "
            "is the label: --labels none, or a CSV file."
        ]

    def _nested(self) -> list[str]:
        """Return a sentence on label folders inside label folders (`leopard/1.jpg`, `leopard/adult/2.jpg`)."""
        if self.rules.labels not in ("folder", "folder:-1"):
            return []
        holders = {folder for folder, label, _ in self.folders if folder and label}
        below = {folder for folder in holders if any(above in holders for above in _parent_folders(folder))}
        if not below:
            return []
        count = sum(n for (folder, _, _), n in self.folders.items() if folder in below)
        return [
            f"{count:,} images are in label folders inside other label folders ({_format_names(below)}): their label "
            "is the last folder. If it is the first: --labels folder:1."
        ]

    def _same_folder(self) -> list[str]:
        """Return a sentence if all stations equal the labels: the source may be one folder too deep."""
        both = [(label, station) for _, label, station in self.folders if label and station]
        if not self.has_folder_labels or not both or any(label != station for label, station in both):
            return []
        return [
            f"Every station equals the image's label ({_format_names({station for _, station in both})}): "
            f"sources.station = {self.rules.station} and sources.labels = {self.rules.labels} name the same folder."
        ]

    def _shared_stations(self) -> list[str]:
        """Return a sentence on stations with folders in several parent folders (`North/cam1`, `South/cam1`)."""
        kind, _, level = self.rules.station.partition(":")
        if kind != "folder":
            return []
        folders_by_station: defaultdict[str, set[str]] = defaultdict(set)
        for folder, _, station in self.folders:
            parts = folder.split("/")
            end = int(level) if int(level) > 0 else len(parts) + int(level) + 1
            above = label_level(self.rules.labels)
            if above is not None:
                above += len(parts) if above < 0 else 0
            if station:
                folders_by_station[station].add("/".join(part for i, part in enumerate(parts[:end]) if i != above))
        shared = {station: names for station, names in folders_by_station.items() if len(names) > 1}
        if not shared:
            return []
        station, names = min(shared.items())
        pattern = f"^({'/'.join(['[^/]+'] * int(level))})/" if int(level) > 0 else "PATTERN"
        return [
            f"{len(shared):,} stations occur in several folders and count as one each, first {station} "
            f"({_format_names(names)}). If these are different stations: --set 'sources.station=regex:{pattern}'."
        ]


def _parent_folders(folder: str) -> Iterable[str]:
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _note_similar_names(what: str, names: Iterable[str]) -> list[str]:
    """Return a sentence on names that differ only in case, spaces, hyphens, underscores or leading zeros."""
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spellings[_similarity_key(name)].append(name)
    groups = [" and ".join(map(repr, similar)) for similar in spellings.values() if len(similar) > 1]
    if not groups:
        return []
    more = f", and {len(groups) - MAX_EXAMPLES:,} more" if len(groups) > MAX_EXAMPLES else ""
    return [f"{what} that may be the same but count as different: {', '.join(groups[:MAX_EXAMPLES])}{more}."]


def _similarity_key(name: str) -> str:
    if number := re.fullmatch(r"0*(\d+)(?:\.0+)?", name):
        return number[1]
    return re.sub(r"[\s_-]+", "", name.casefold()) or name


def _format_names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - MAX_EXAMPLES:,} more" if len(ordered) > MAX_EXAMPLES else ""
    return ", ".join(ordered[:MAX_EXAMPLES]) + more
