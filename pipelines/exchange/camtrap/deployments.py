"""Make the deployments of a package from the deployments file and from what is known of the images' stations."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

from pipelines.config.settings import ExportSettings
from pipelines.errors import DataError
from pipelines.exchange.camtrap.deployments_file import (
    MISSING,
    DeploymentRow,
    format_decimal,
    parse_zone,
    read_deployments,
)

COLUMNS = (
    *("deploymentID", "locationID", "locationName", "latitude", "longitude", "coordinateUncertainty"),
    *("deploymentStart", "deploymentEnd", "setupBy", "cameraID", "cameraModel", "cameraDelay", "cameraHeight"),
    *("cameraDepth", "cameraTilt", "cameraHeading", "detectionDistance", "timestampIssues", "baitUse"),
    *("featureType", "habitat", "deploymentGroups", "deploymentTags", "deploymentComments"),
)
METRES_PER_DEGREE = 111_320  # of latitude
MAX_STATIONS = 20  # listed in a message
FROM_IMAGES = "Start and end are the times of the first and the last image."
NEEDS = "Camtrap DP needs the coordinates of every station."


@dataclass(frozen=True)
class Station:
    """What the images say of a station: times of the camera's clock, and the camera if there is only one."""

    first: datetime
    last: datetime
    camera: str | None


@dataclass(frozen=True)
class Deployment:
    """A deployment. Its images are those of its station from `since` to before `until`; null: all."""

    row: DeploymentRow
    identifier: str
    start: datetime
    end: datetime
    utc_offset: str  # of the camera's clock from UTC, such as +01:00 or Z
    latitude: str
    longitude: str
    uncertainty: str
    camera: str
    since: datetime | None = None
    until: datetime | None = None
    comments: str = ""

    def values(self) -> list[str]:
        """Return the values of COLUMNS."""
        found = {
            **self.row.values,
            "deploymentID": self.identifier,
            "locationID": self.row.station,
            "locationName": self.row.values.get("locationName") or self.row.station,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "coordinateUncertainty": self.uncertainty,
            "deploymentStart": f"{self.start:%Y-%m-%dT%H:%M:%S}{self.utc_offset}",
            "deploymentEnd": f"{self.end:%Y-%m-%dT%H:%M:%S}{self.utc_offset}",
            "cameraID": self.row.values.get("cameraID") or self.camera,
            "deploymentComments": self.comments,
        }
        return [found.get(column, "") for column in COLUMNS]


def make_deployments(
    stations: Mapping[str, Station], settings: ExportSettings, only_with_images: bool = False
) -> tuple[list[Deployment], list[str]]:
    """Return the deployments, and notes.

    Rows of stations without images are deployments too, if the file has their times, as they count for the sampling
    effort; but not with `only_with_images`. Raises DataError with the stations that lack coordinates or a time zone.
    """
    if settings.deployments is None:
        raise DataError(
            f"{NEEDS} Give a CSV file with columns station, latitude, longitude [, start, end, timezone] "
            f"and rows for {_list(sorted(stations))}: --set export.deployments=FILE."
        )
    rows, notes = read_deployments(settings.deployments)
    file, zone = settings.deployments, parse_zone(settings.time_zone) if settings.time_zone else None
    by_station: dict[str, list[DeploymentRow]] = defaultdict(list)
    for row in rows:
        if all(replace(row, line=0) != replace(other, line=0) for other in by_station[row.station]):
            by_station[row.station].append(row)
    faults = _find_faults(by_station, stations, file, zone)
    if faults:
        raise DataError(faults)
    unused = [
        row
        for station, rows in by_station.items()
        if station not in stations
        for row in rows
        if only_with_images or not (row.coordinates and row.start and row.end and (row.zone or zone))
    ]
    left_out = {row.line for row in unused}
    deployments = list[Deployment]()
    for station, rows in sorted(by_station.items()):
        usable = [row for row in rows if row.line not in left_out]
        deployments += _of_station(usable, stations.get(station), settings, zone)
    _require_unique([each.identifier for each in deployments], file)
    if unused and not only_with_images:
        lines = _list([str(row.line) for row in unused])
        notes.append(f"{file}: left out, for want of images, and of coordinates, times or time zone: lines {lines}.")
    return deployments, notes + _note_times(by_station, stations, file)


def to_csv(deployments: Sequence[Deployment]) -> bytes:
    """Return deployments.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *(deployment.values() for deployment in deployments)])
    return text.getvalue().encode()


def _find_faults(
    by_station: Mapping[str, list[DeploymentRow]], stations: Mapping[str, Station], file: str, zone: tzinfo | None
) -> list[str]:
    """Return a sentence for each reason why the file is not enough for the images."""
    faults = []
    if absent := sorted(set(stations) - set(by_station)):
        others = sorted(set(by_station) - set(stations))
        more = f" Stations of the file without images: {_list(others)}." if others else ""
        faults.append(f"{NEEDS} {file} has no row for {_list(absent)}. Add them.{more}")
    used = {station: rows for station, rows in by_station.items() if station in stations}
    if bare := sorted(station for station, rows in used.items() if any(row.coordinates is None for row in rows)):
        faults.append(f"{NEEDS} {file} has no coordinates for {_list(bare)}. Add them.")
    if zone is None and (lacking := sorted(s for s, rows in used.items() if any(row.zone is None for row in rows))):
        faults.append(
            f"{file} has no time zone for {_list(lacking)}, and Camtrap DP needs one. Add a column timezone, or set it "
            "for all: --set export.time_zone=Europe/Berlin."
        )
    for station, rows in sorted(by_station.items()):
        ordered = sorted((row for row in rows if row.start and row.end), key=lambda row: (row.start, row.end))
        if len(rows) > 1 and len(ordered) < len(rows):
            lines = ", ".join(str(row.line) for row in rows)
            faults.append(f"{file} has {len(rows)} rows for {station} (lines {lines}). Give each a start and an end.")
        for before, after in pairwise(ordered):
            if before.end and after.start and after.start < before.end:
                faults.append(
                    f"{file} lines {before.line} and {after.line}: deployments at {station} overlap "
                    f"({before.end} is after {after.start}). Correct their times."
                )
    return faults


def _note_times(by_station: Mapping[str, list[DeploymentRow]], stations: Mapping[str, Station], file: str) -> list[str]:
    """Return a note on stations with one deployment whose images were taken before it or after it."""
    outside = []
    for name, station in sorted(stations.items()):
        (row, *others) = by_station[name]
        if not others and ((row.start and station.first < row.start) or (row.end and station.last > row.end)):
            outside.append(f"{name} (images from {station.first} to {station.last})")
    if not outside:
        return []
    return [f"Images were taken outside of the times in {file}, or by a wrong clock: {_list(outside)}."]


def _of_station(
    rows: Sequence[DeploymentRow], station: Station | None, settings: ExportSettings, zone: tzinfo | None
) -> list[Deployment]:
    """Return the deployments of one station, in the order of time."""
    rows = sorted(rows, key=lambda row: (row.start or datetime.min, row.line))
    found = []
    for i, row in enumerate(rows):
        start, end = row.start or (station.first if station else None), row.end or (station.last if station else None)
        if start is None or end is None:  # left out before
            continue
        start, end = min(start, end), max(start, end)  # the file has only one of them, and a clock was wrong
        identifier = row.values.get("deploymentID") or _default_id(row, len(rows) > 1)
        comments = row.values.get("deploymentComments", "")
        latitude, longitude, uncertainty = _round(row, settings.coordinate_decimals)
        following = rows[i + 1].start if i + 1 < len(rows) else None
        until = end + timedelta(seconds=1)
        found.append(
            Deployment(
                row,
                f"station {identifier}" if identifier in MISSING else identifier,
                start,
                end,
                format_offset(row.zone or zone, start),
                latitude,
                longitude,
                uncertainty,
                camera=station.camera or "" if station and len(rows) == 1 else "",
                since=start if len(rows) > 1 else None,
                until=(min(until, following) if following else until) if len(rows) > 1 else None,
                comments=comments if row.start and row.end else " ".join(filter(None, [comments, FROM_IMAGES])),
            )
        )
    return found


def format_offset(zone: tzinfo | None, moment: datetime) -> str:
    """Return the offset of a clock from UTC. It is that at the start: cameras do not change to summer time."""
    offset = moment.replace(tzinfo=zone).utcoffset() or timedelta()
    if not offset:
        return "Z"
    minutes = round(abs(offset).total_seconds() / 60)
    return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _default_id(row: DeploymentRow, is_one_of_several: bool) -> str:
    return f"{row.station} {row.start:%Y-%m-%d %H:%M:%S}" if is_one_of_several and row.start else row.station


def _round(row: DeploymentRow, decimals: int | None) -> tuple[str, str, str]:
    """Return latitude, longitude and their uncertainty in metres, widened by half the diagonal of the rounding."""
    latitude, longitude = row.coordinates or (0.0, 0.0)
    uncertainty = row.values.get("coordinateUncertainty", "")
    if decimals is None:
        return format_decimal(latitude), format_decimal(longitude), uncertainty
    half = METRES_PER_DEGREE * 10**-decimals / 2
    widened = int(uncertainty or 0) + math.hypot(half, half * math.cos(math.radians(abs(latitude))))
    rounded = [f"{round(value, decimals) + 0.0:.{decimals}f}" for value in (latitude, longitude)]
    return rounded[0], rounded[1], str(math.ceil(widened))


def _require_unique(identifiers: list[str], file: str) -> None:
    twice = sorted({name for name in identifiers if identifiers.count(name) > 1})
    if twice:
        raise DataError(f"{file} has the same deploymentID for several deployments: {_list(twice)}. Change it.")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_STATIONS:,} more" if len(names) > MAX_STATIONS else ""
    return ", ".join(names[:MAX_STATIONS]) + more
