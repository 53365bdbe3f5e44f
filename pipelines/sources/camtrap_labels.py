"""Read the labels of a Camtrap DP package: one row for each image that an observation is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import pandas as pd

from pipelines.errors import DataError
from pipelines.sources.camtrap_observations import (
    SEVERAL,
    Meaning,
    add_labels,
    event_key,
    events_of_media,
    is_own,
    resolve,
)
from pipelines.sources.camtrap_package import Package
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, first_nonempty, join_path
from pipelines.sources.label_times import OFFSET

MEDIA = ("mediaID", "deploymentID", "sequenceID", "timestamp", "filePath", "fileName")
OBSERVATIONS = (
    *("deploymentID", "mediaID", "eventID", "sequenceID", "eventStart", "eventEnd", "timestamp", "observationLevel"),
    *("observationType", "scientificName", "classificationMethod", "classifiedBy", "classificationTimestamp"),
    *("classificationProbability", "observationTags", "observationComments", "comments"),
)
DEPLOYMENTS = ("deploymentID", "locationID", "locationName")
MISSING = ("NA", "NaN", "nan")  # beside the empty text, as the standard has it


@dataclass
class PackageLabels:
    """The labels in a package, and what was left out, by reason.

    `rows`: path, file_name, deployment, station, captured_at (the camera's clock), sequence, label, is_unknown,
    is_machine, reviewer, reviewed_at (with its offset), comment; texts, empty if missing.
    """

    rows: pd.DataFrame
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def read_package_labels(package: Package, meanings: Mapping[str, Meaning] | None = None) -> PackageLabels:
    """Return the labels of all images with an observation that a person, or only a model, has classified.

    Of an image, the observations of the person who classified it last count, else those of its event, else those of a
    model. Images with several species are left out: an image has one label. `meanings`: observation type and
    scientific name of labels, so that `Vulpes vulpes` becomes `fox` again.
    """
    media = _texts(package.read("media", MEDIA), MEDIA, ("mediaID", "filePath"))
    observations = _texts(package.read("observations", OBSERVATIONS), OBSERVATIONS, ("observationType",))
    add_labels(observations, package, meanings or {})
    media = _by_id(media, package)
    media["event"] = events_of_media(media, observations)
    observations = observations[observations["rank"] > 0]
    if is_own(package):  # its events repeat what its images say, of which each has an observation
        observations = observations[observations["mediaID"] != ""]
    result = PackageLabels(pd.DataFrame())
    is_orphan = (observations["mediaID"] != "") & ~observations["mediaID"].isin(media.index)
    if is_orphan.any():
        result.left_out["of images that are not in the media table"] = int(is_orphan.sum())
    is_machine = observations["classificationMethod"].str.lower() == "machine"
    parts, rest = [], media
    for rows, machine in ((observations[~is_machine], False), (observations[is_machine], True)):
        of_media = resolve(rows[rows["mediaID"] != ""], "mediaID")
        for labels in (of_media, _by_event(rows, rest)):
            labels = labels[labels.index.isin(rest.index)]
            parts.append(labels.assign(is_machine=machine))
            rest = rest[~rest.index.isin(labels.index)]
    labels = pd.concat(parts)
    several, unnamed = labels["label"] == SEVERAL, (labels["label"] == "") & ~labels["is_unknown"]
    for reason, count in (("with several species", several.sum()), ("without a species", unnamed.sum())):
        if count:
            result.left_out[reason] += int(count)
    result.rows = _with_media(labels[~several & ~unnamed], media, package)
    return result


def read_package(package: Package, configured: frozenset[str] = frozenset()) -> TableContent:
    """Return the labels by people in a package, as a labels file. `configured`: columns that are not read."""
    found = read_package_labels(package)
    rows = found.rows[~found.rows["is_machine"]]
    names = {"label": "observations", "station": "deployments", "captured_at": "timestamp", "sequence": "eventID"}
    names = {column: name for column, name in names.items() if column not in configured}
    left_out = Counter({"classified by a model only": int(found.rows["is_machine"].sum())}) + found.left_out
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    notes = [*found.notes, *([f"Treated as unlabelled: {reasons}."] if reasons else [])]
    below = join_path(rows["deployment"], rows["file_name"])
    paths = [
        PathColumn("filePath", rows["path"]),
        PathColumn("deploymentID/fileName", below),
        PathColumn("fileName", rows["file_name"]),
        PathColumn("deploymentID/.../fileName", below, spans_folders=True),
    ]
    return TableContent("Camtrap DP", {column: rows[column] for column in names}, names, paths, notes)


def _texts(table: RawTable, columns: tuple[str, ...], required: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the columns as text, empty where a value or a whole column is missing.

    Raises DataError if a required column is missing.
    """
    if lacking := [name for name in required if name not in table]:
        raise DataError(f"{table.file} has no column {' and no column '.join(lacking)}. Give the whole package.")
    empty = pd.Series("", index=table.cells.index, dtype=object)
    found = {name: _share(table.column(name)) if name in table else empty for name in columns}
    return pd.DataFrame({name: text.where(~text.isin(MISSING), "") for name, text in found.items()})


def _share(text: pd.Series) -> pd.Series:
    """Return the texts, of which equal ones are one object: most columns repeat a few, and rows may be a million."""
    return text.map({each: each for each in text.unique()})


def _by_id(media: pd.DataFrame, package: Package) -> pd.DataFrame:
    """Return the media by mediaID. Raises DataError if two different ones have the same."""
    media = media[media["mediaID"] != ""].drop_duplicates()
    is_twice = media["mediaID"].duplicated()
    if is_twice.any():
        raise DataError(
            f"{package.file}: in {package.names['media']}, {int(is_twice.sum()):,} rows have the mediaID of another, "
            f"first {media['mediaID'][is_twice].iloc[0]!r}. Export the package again."
        )
    return media.set_index("mediaID")


def _by_event(rows: pd.DataFrame, media: pd.DataFrame) -> pd.DataFrame:
    """Return the labels of events, for each of their images."""
    rows = rows[rows["mediaID"] == ""]
    labels = resolve(rows.assign(event=event_key(rows)), "event")
    of_event = media["event"][media["event"].isin(labels.index)]
    return labels.reindex(of_event).set_axis(of_event.index, axis=0).rename_axis("mediaID")


def _with_media(labels: pd.DataFrame, media: pd.DataFrame, package: Package) -> pd.DataFrame:
    """Return the rows of PackageLabels: the labels with file, station and time of their images."""
    found = media.reindex(labels.index)
    path = found["filePath"]
    if is_own(package):  # encodes names that the standard does not allow
        path = path.map(unquote)
    station = found["deploymentID"].map(_stations(package))
    return pd.DataFrame(
        {
            "path": path,
            "file_name": found["fileName"],
            "deployment": found["deploymentID"],
            "station": station.fillna(found["deploymentID"]),
            "captured_at": found["timestamp"].str.replace(OFFSET, "", regex=True),
            "sequence": found["event"].str.replace("^[^\0]*\0", "", regex=True).str.replace("\0", " "),
            "label": labels["label"],
            "is_unknown": labels["is_unknown"],
            "is_machine": labels["is_machine"],
            "reviewer": labels["classifiedBy"],
            "reviewed_at": labels["classificationTimestamp"],
            "comment": labels["comment"],
        }
    ).reset_index(drop=True)


def _stations(package: Package) -> dict[str, str]:
    """Return the station of each deployment: the name of its location, if no other location has it; else its id."""
    if "deployments" not in package.names:
        return {}
    table = _texts(package.read("deployments", DEPLOYMENTS), DEPLOYMENTS)
    name, identifier = table["locationName"], table["locationID"]
    locations = table.groupby("locationName")["locationID"].transform("nunique")
    is_name = (name != "") & (locations <= 1) & (not is_own(package))
    station = first_nonempty(name.where(is_name, ""), identifier, table["deploymentID"])
    return dict(zip(table["deploymentID"], station, strict=True))
