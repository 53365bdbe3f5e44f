"""Read label, station, file series and time from a path below the source."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from pipelines.config.settings import Sources
from pipelines.images.plausible_time import is_plausible
from pipelines.label_text import canonical_text


def allowed_suffixes(rules: Sources) -> set[str]:
    """Return the suffixes of images, in lower case and without the dot."""
    return {extension.lower().lstrip(".") for extension in rules.extensions}


def compile_path_rule(rule: str) -> Callable[[str], str | None]:
    """Return a function from a path below the source to its station or label; null if there is none.

    Names are in canonical form: a folder name of invisible characters yields null.
    """
    if rule.startswith("regex:"):
        pattern = re.compile(rule[len("regex:") :])
        return lambda path: canonical_text(match[1]) if (match := pattern.search(path)) else None
    if rule == "folder" or rule.startswith("folder:"):
        level = int(rule.partition(":")[2] or -1)
        return lambda path: canonical_text(_nth_folder(path, level))
    return lambda path: None


# A date, or date and time, as cameras and programs write them into file names; seconds may be missing.
_DATE = r"(?:19|20)\d\d[-_.: ]?[01]\d[-_.: ]?[0-3]\d"
_TIME = r"[-_T. ]{0,2}[0-2]\d[-_.:h]?[0-5]\d(?:[-_.:m]?[0-5]\d)?"
_MOMENT = re.compile(rf"(?<!\d){_DATE}(?:{_TIME})?(?!\d)")
_WHOLE_MOMENT = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_.: ]?([01]\d)[-_.: ]?([0-3]\d)[-_T. ]{0,2}"
    r"([0-2]\d)[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(?!\d)"
)
_RANDOM = re.compile(r"[0-9a-f-]{16,}", re.IGNORECASE)  # UUIDs and digests
# Suffixes that file managers add to a copy, after the camera's number: `IMG_0042 (1)`, `IMG_0042 - Copy (2)`.
_COPY = re.compile(r"(?<=\d)(?:[ _-]*(?:copy|copie|kopie|copia|c\u00f3pia)(?: ?\d+)?| ?\(\d{1,2}\))+$", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*?)(\d{1,9})\D*")


def file_series(path: str, label_rule: str) -> tuple[str, int | None]:
    """Return the camera's file series of a path: `folder/prefix` and the number in the file name.

    `S1/100RECNX/IMG_0042.JPG` gives `S1/100RECNX/IMG_` and 42. The label folder is left out: it depends on the
    subject, not on the camera. Dates and times in the name, and random names, are not numbers. A copy
    (`IMG_0042 (1)`) has the number of its original.
    """
    *folders, name = path.split("/")
    level = label_level(label_rule)
    if level is not None and -len(folders) <= level < len(folders):
        del folders[level]
    stem = _COPY.sub("", name.rpartition(".")[0] or name)
    if _RANDOM.fullmatch(stem) and not stem.isdigit():
        return "/".join([*folders, ""]), None
    if _MOMENT.search(stem):  # a suffix distinguishes images of the same second
        return "/".join([*folders, re.sub(r"\W*\d*\W*$", "", _MOMENT.sub("", stem))]), None
    match = _NUMBERED.fullmatch(stem)
    return "/".join([*folders, match[1] if match else stem]), int(match[2]) if match else None


def time_in_name(path: str) -> datetime | None:
    """Return the date and time in a file name, without a time zone; null if it has none or an implausible one.

    `S1/20240501_143002.jpg` and `S1__2024-05-01__14-30-02(1).JPG` have one; a date alone is not a time.
    """
    if not (match := _WHOLE_MOMENT.search(path.rpartition("/")[2])):
        return None
    try:
        moment = datetime(*map(int, match.groups()))  # type: ignore[arg-type]
    except ValueError:  # 20249942: digits that are not a date
        return None
    return moment if is_plausible(moment) else None


def label_level(rule: str) -> int | None:
    """Return the index of the label folder in a path; null if labels are not folders."""
    if rule != "folder" and not rule.startswith("folder:"):
        return None
    level = int(rule.partition(":")[2] or -1)
    return level - 1 if level > 0 else level


def _nth_folder(path: str, level: int) -> str | None:
    """Return the N-th folder of a path, counted from 1; -1 is the last."""
    folders = path.split("/")[:-1]
    index = level - 1 if level > 0 else level
    return folders[index] if -len(folders) <= index < len(folders) else None
