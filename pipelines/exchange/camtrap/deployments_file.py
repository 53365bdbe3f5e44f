"""Read the deployments file (`export.deployments`): where and when cameras stood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pipelines.errors import DataError
from pipelines.label_text import canonical_text
from pipelines.sources.label_files import read_raw_table
from pipelines.sources.label_tables.raw import RawTable, column_key

MISSING = ("", "NA", "NaN", "nan")  # missing values of Camtrap DP
ALIASES = {
    "station": ("station", "locationID", "location", "site", "placename", "deploymentID"),
    "latitude": ("latitude", "lat", "decimalLatitude"),
    "longitude": ("longitude", "lon", "long", "lng", "decimalLongitude"),
    "start": ("start", "deploymentStart", "start_date", "setup_date"),
    "end": ("end", "deploymentEnd", "end_date", "retrieval_date"),
    "timezone": ("timezone", "time_zone", "tz", "utc_offset"),
    "coordinateUncertainty": ("coordinateUncertainty", "uncertainty", "accuracy"),
}
TEXTS = (
    *("deploymentID", "locationName", "setupBy", "cameraID", "cameraModel", "habitat"),
    *("deploymentGroups", "deploymentTags", "deploymentComments"),
)
INTEGERS = {
    "coordinateUncertainty": (1, None),
    "cameraDelay": (0, None),
    "cameraTilt": (-90, 90),
    "cameraHeading": (0, 360),
}
NUMBERS = {"cameraHeight": (0, None), "cameraDepth": (0, None), "detectionDistance": (0, None)}
BOOLEANS = ("timestampIssues", "baitUse")
FEATURES = (
    *("roadPaved", "roadDirt", "trailHiking", "trailGame", "roadUnderpass", "roadOverpass", "roadBridge"),
    *("culvert", "burrow", "nestSite", "carcass", "waterSource", "fruitingTree"),
)
OTHERS = (*TEXTS, *INTEGERS, *NUMBERS, *BOOLEANS, "featureType")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(:\d\d)?(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?")
OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
MAX_FAULTS = 10
T = TypeVar("T")


@dataclass(frozen=True)
class DeploymentRow:
    """A row of the file. Times are those of the camera's clock; what the file does not say is null."""

    line: int
    station: str
    coordinates: tuple[float, float] | None  # latitude and longitude
    start: datetime | None
    end: datetime | None
    zone: tzinfo | None
    values: Mapping[str, str] = field(default_factory=dict)  # further columns of Camtrap DP


def read_deployments(file: str) -> tuple[list[DeploymentRow], list[str]]:
    """Return the rows of the file, and notes. Raises DataError with every fault."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"export.deployments = {file}: there is no such file. Give a local CSV file.")
    names = [alias for aliases in ALIASES.values() for alias in aliases]
    table = read_raw_table(path, None, names)
    columns = {column: name for column, names in ALIASES.items() if (name := _first(table, names))}
    lacking = [column for column in ("station", "latitude", "longitude") if column not in columns]
    if lacking:
        raise DataError(
            f"{file} has no column {' and no column '.join(lacking)}, only {', '.join(table.headers)}. Give a row for "
            "each station with station, latitude, longitude [, start, end, timezone]."
        )
    columns |= {name: name for name in OTHERS if name not in columns and name in table}
    texts = {column: table.column(name).tolist() for column, name in columns.items()}
    faults, rows = list[str](), []
    for i in range(len(table.cells)):
        row = {column: values[i] for column, values in texts.items() if values[i] not in MISSING}
        if not row:
            continue
        try:
            rows.append(_parse(i + 2, row))
        except DataError as error:
            faults += [f"{file} line {i + 2}: {fault}" for fault in error.faults]
    if faults:
        more = [f"{file} has {len(faults) - MAX_FAULTS:,} more faults."] if len(faults) > MAX_FAULTS else []
        raise DataError(faults[:MAX_FAULTS] + more)
    used = {column_key(name) for name in columns.values()}
    unused = [header.strip() for header in table.headers if column_key(header) not in used]
    note = f"{path.name}: columns that are not used: {', '.join(unused)}."
    return rows, [note] if unused else []


def parse_zone(text: str) -> tzinfo:
    """Return the time zone of a name such as Europe/Berlin, or of an offset such as +01:00. Raises DataError."""
    if text.upper() in ("Z", "UTC", "GMT"):
        return timezone.utc
    match = OFFSET.fullmatch(text)
    if match:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0)) * (-1 if match[1] == "-" else 1)
        if abs(offset) <= timedelta(hours=14):
            return timezone(offset)
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise DataError(f"{text!r} is no time zone. Write a name such as Europe/Berlin, or +01:00.") from error


def format_decimal(number: float) -> str:
    """Return a number without an exponent, with 8 decimals at most."""
    return f"{number + 0.0:.8f}".rstrip("0").rstrip(".")


def _first(table: RawTable, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table), None)


def _parse(line: int, row: dict[str, str]) -> DeploymentRow:
    """Return the row of a line. Raises DataError with its faults."""
    faults = list[str]()

    def attempt(parse: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return parse(*arguments)
        except DataError as error:
            faults.extend(error.faults)
            return None

    station = canonical_text(row.pop("station", None))
    if station is None:
        faults.append("it has no station.")
    latitude = attempt(_parse_number, "latitude", row.pop("latitude", ""), -90, 90)
    longitude = attempt(_parse_number, "longitude", row.pop("longitude", ""), -180, 180)
    start, start_zone = attempt(_parse_time, "start", row.pop("start", ""), False) or (None, None)
    end, _ = attempt(_parse_time, "end", row.pop("end", ""), True) or (None, None)
    if start and end and end < start:
        faults.append(f"it ends ({end}) before it starts ({start}).")
    zone = attempt(parse_zone, row.pop("timezone")) if "timezone" in row else start_zone
    values = {name: attempt(_parse_value, name, text) or "" for name, text in row.items()}
    if faults:
        raise DataError(faults)
    coordinates = None if latitude is None or longitude is None else (latitude, longitude)
    return DeploymentRow(line, str(station), coordinates, start, end, zone, values)


def _parse_value(name: str, text: str) -> str:
    """Return the value of a further column as Camtrap DP writes it. Raises DataError."""
    if name in INTEGERS:
        number = _parse_number(name, text, *INTEGERS[name])
        if number is None or number % 1:
            raise DataError(f"{name} = {text!r} is no whole number.")
        return str(int(number))
    if name in NUMBERS:
        return format_decimal(_parse_number(name, text, *NUMBERS[name]) or 0.0)
    if name in BOOLEANS:
        if text.lower() not in WORDS:
            raise DataError(f"{name} = {text!r} is not true or false.")
        return str(WORDS[text.lower()]).lower()
    if name == "featureType" and text not in FEATURES:
        raise DataError(f"featureType = {text!r}: expected {', '.join(FEATURES)}.")
    return " ".join(text.split())


def _parse_number(name: str, text: str, low: float | None, high: float | None) -> float | None:
    """Return a number, null for an empty text. A decimal comma is read too."""
    if not text:
        return None
    plain = text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d+", text) else text
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", plain):
        raise DataError(f"{name} = {text!r} is no number. Write decimal degrees or metres, such as 52.70442.")
    number = float(plain)
    if (low is not None and number < low) or (high is not None and number > high):
        raise DataError(f"{name} = {text!r} is out of range: expected {low} to {'any' if high is None else high}.")
    return number


def _parse_time(name: str, text: str, is_end: bool) -> tuple[datetime | None, tzinfo | None]:
    """Return a time of the camera's clock and the zone in the text. A day alone is its first or last second."""
    if not text:
        return None, None
    match = TIME.fullmatch(text)
    try:
        if not match:
            raise ValueError
        clock = f"{match[2]}{match[3] or ':00'}" if match[2] else "23:59:59" if is_end else "00:00:00"
        moment = datetime.strptime(f"{match[1]} {clock}", "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise DataError(f"{name} = {text!r} is no time. Write it as 2024-03-01 or 2024-03-01 10:30:00.") from error
    return moment, parse_zone(match[4]) if match[4] else None
