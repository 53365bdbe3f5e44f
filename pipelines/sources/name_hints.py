"""Find names of labels and stations that are probably not meant so: nothing is changed, a sentence names them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from pipelines.config.settings import Sources
from pipelines.sources.labels import is_labels_file
from pipelines.sources.path_rules import label_level

MAX_EXAMPLES = 3  # names in a sentence
# As cameras name folders (JEITA CP-3461), and programs those with the frames of a video.
_CAMERA_FOLDER = re.compile(
    r"DCIM|[1-9]\d\d(?!\d{5})[A-Z0-9_]{5}|.*\.(?:mp4|avi|mov|m4v|mpe?g|mkv|wmv|mts|3gp)", re.IGNORECASE
)


class NameHints:
    """Collect the folders of images with the label and station that are read off them."""

    def __init__(self, rules: Sources) -> None:
        self.rules = rules
        self.has_folder_labels = not is_labels_file(rules.labels) and rules.labels != "none"
        self.stations: Counter[str] = Counter()
        self.folders: Counter[tuple[str, str | None, str | None]] = Counter()  # images by folder, label and station

    def add(self, path: str, label: str | None, station: str | None) -> None:
        """Count an image by its path below the source, and what its folders say."""
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
            f"({_format_names(counts)}). If the label is another folder of the path: --labels folder:N. If it is none: "
            "--labels none, or a CSV file."
        ]

    def _nested(self) -> list[str]:
        """Return a sentence on label folders in label folders (`leopard/1.jpg`, `leopard/adult/2.jpg`)."""
        if self.rules.labels not in ("folder", "folder:-1"):
            return []
        holders = {folder for folder, label, _ in self.folders if folder and label}
        below = {folder for folder in holders if any(above in holders for above in _parent_folders(folder))}
        if not below:
            return []
        count = sum(n for (folder, _, _), n in self.folders.items() if folder in below)
        return [
            f"{count:,} images lie in folders below others that are labels too ({_format_names(below)}): their label is the "
            "last folder. If it is the first: --labels folder:1."
        ]

    def _same_folder(self) -> list[str]:
        """Return a sentence on stations that are the labels: the source may be a folder further down than meant."""
        both = [(label, station) for _, label, station in self.folders if label and station]
        if not self.has_folder_labels or not both or any(label != station for label, station in both):
            return []
        return [
            f"Every station is the image's label ({_format_names({station for _, station in both})}): sources.station = "
            f"{self.rules.station} and sources.labels = {self.rules.labels} name the same folder."
        ]

    def _shared_stations(self) -> list[str]:
        """Return a sentence on stations whose folder is found below several others (`North/cam1`, `South/cam1`)."""
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
            f"{len(shared):,} stations are read from several folders and count as one each, first {station} "
            f"({_format_names(names)}). If they are different places: --set 'sources.station=regex:{pattern}'."
        ]


def _parent_folders(folder: str) -> Iterable[str]:
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder


def _note_similar_names(what: str, names: Iterable[str]) -> list[str]:
    """Return a sentence on names that differ only in case, spaces, hyphens, underscores, or zeros of a number."""
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spellings[_similarity_key(name)].append(name)
    twins = [" and ".join(repr(name) for name in each) for each in spellings.values() if len(each) > 1]
    if not twins:
        return []
    more = f", and {len(twins) - MAX_EXAMPLES:,} more" if len(twins) > MAX_EXAMPLES else ""
    return [f"{what} that may be the same, and count as different ones: {', '.join(twins[:MAX_EXAMPLES])}{more}."]


def _similarity_key(name: str) -> str:
    if number := re.fullmatch(r"0*(\d+)(?:\.0+)?", name):
        return number[1]
    return re.sub(r"[\s_-]+", "", name.casefold()) or name


def _format_names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - MAX_EXAMPLES:,} more" if len(ordered) > MAX_EXAMPLES else ""
    return ", ".join(ordered[:MAX_EXAMPLES]) + more
