"""Read the labels of a Camtrap DP package: one row for each image that an observation is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import pandas as pd

from pipelines.sources.camtrap_package import Package
from pipelines.sources.label_tables.raw import RawTable
from pipelines.sources.label_tables.table_content import PathColumn, TableContent, first_nonempty, join_path
from pipelines.sources.label_times import OFFSET, to_utc

MEDIA = ("mediaID", "deploymentID", "sequenceID", "timestamp", "filePath", "fileName")
OBSERVATIONS = (
    *("deploymentID", "mediaID", "eventID", "sequenceID", "eventStart", "eventEnd", "timestamp", "observationLevel"),
    *("observationType", "scientificName", "classificationMethod", "classifiedBy", "classificationTimestamp"),
    *("classificationProbability", "observationTags", "observationComments", "comments"),
)
DEPLOYMENTS = ("deploymentID", "locationID", "locationName")
MISSING = ("NA", "NaN", "nan")  # beside the empty text, as the standard has it
WITHOUT_SPECIES = ("blank", "human", "vehicle")  # observation types that are labels themselves
LABEL_TAG = "label:"
# Of several observations of one image, those of the highest rank count: an animal, even without a species, is no blank.
RANKS = {"unclassified": 0, "blank": 1, "unknown": 2, "animal": 3, "vehicle": 4, "human": 4}
NAMED_ANIMAL = 4
Meaning = tuple[str, str]  # observationType and scientificName


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
    media = _texts(package.read("media", MEDIA), MEDIA)
    observations = _texts(package.read("observations", OBSERVATIONS), OBSERVATIONS)
    _add_labels(observations, package, meanings or {})
    observations = observations[observations["rank"] > 0]
    media = media[media["mediaID"] != ""].drop_duplicates("mediaID").set_index("mediaID")
    media["event"] = _events_of_media(media, observations)
    result = PackageLabels(pd.DataFrame())
    is_machine = observations["classificationMethod"].str.lower() == "machine"
    parts, rest = [], media
    for rows, machine in ((observations[~is_machine], False), (observations[is_machine], True)):
        of_media = _resolve(rows[rows["mediaID"] != ""], "mediaID")
        for labels in (of_media, _by_event(rows, rest)):
            labels = labels[labels.index.isin(rest.index)]
            parts.append(labels.assign(is_machine=machine))
            rest = rest[~rest.index.isin(labels.index)]
    labels = pd.concat(parts)
    several, unnamed = labels["label"] == SEVERAL, (labels["label"] == "") & ~labels["is_unknown"]
    for reason, count in (("images with several species", several.sum()), ("animals without a species", unnamed.sum())):
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
    notes = list(found.notes)
    if by_model := int(found.rows["is_machine"].sum()):
        notes.append(f"{by_model:,} images that only a model has classified are treated as unlabelled.")
    notes += [f"{count:,} {reason} are treated as unlabelled." for reason, count in found.left_out.items()]
    below = join_path(rows["deployment"], rows["file_name"])
    paths = [
        PathColumn("filePath", rows["path"]),
        PathColumn("deploymentID/fileName", below),
        PathColumn("fileName", rows["file_name"]),
        PathColumn("deploymentID/.../fileName", below, spans_folders=True),
    ]
    return TableContent("Camtrap DP", {column: rows[column] for column in names}, names, paths, notes)


SEVERAL = "\0several"  # stands for the label of an image with several species


def _texts(table: RawTable, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return the columns as text, empty where a value or a whole column is missing."""
    empty = pd.Series("", index=table.cells.index, dtype=object)
    found = {name: table.column(name) if name in table else empty for name in columns}
    return pd.DataFrame({name: text.where(~text.isin(MISSING), "") for name, text in found.items()})


def _add_labels(observations: pd.DataFrame, package: Package, meanings: Mapping[str, Meaning]) -> None:
    """Add label, rank and is_unknown, in place."""
    kind = observations["observationType"].str.lower()
    tag = observations["observationTags"].str.extract(rf"(?:^|\|)\s*{LABEL_TAG}([^|]*)", expand=False).fillna("")
    written = pd.DataFrame({"kind": kind, "name": observations["scientificName"], "tag": tag.str.strip()})
    own = _own_meanings(package)
    inverse: dict[Meaning, list[str]] = {}
    for label, meaning in meanings.items():
        inverse.setdefault(meaning, []).append(label)
    combinations = written.drop_duplicates()
    labels = [
        _label(kind, name, unquote(tag), own, inverse) for kind, name, tag in combinations.itertuples(index=False)
    ]
    keys = pd.MultiIndex.from_frame(combinations)
    observations["label"] = pd.Series(labels, index=keys, dtype=object).reindex(pd.MultiIndex.from_frame(written)).array
    observations["is_unknown"] = (kind == "unknown") & (observations["label"] == "")
    rank = kind.map(RANKS).fillna(0).astype(int)
    observations["rank"] = rank.mask((kind == "animal") & (observations["label"] != ""), NAMED_ANIMAL)
    observations["eventID"] = first_nonempty(observations["eventID"], observations["sequenceID"])
    observations["comment"] = first_nonempty(observations["observationComments"], observations["comments"])


def _own_meanings(package: Package) -> dict[str, Meaning]:
    """Return what labels meant when irbis wrote the package."""
    own = package.descriptor.get("irbis")
    labels = own.get("labels") if isinstance(own, dict) else None
    return {
        label: (str(meaning.get("type") or ""), str(meaning.get("scientific_name") or ""))
        for label, meaning in (labels.items() if isinstance(labels, dict) else ())
        if isinstance(meaning, dict)
    }


def _label(kind: str, name: str, tag: str, own: Mapping[str, Meaning], inverse: Mapping[Meaning, list[str]]) -> str:
    """Return the label of an observation, empty if it has none.

    The tag is the label that irbis exported. It counts only where the observation has not been changed since.
    """
    if tag and own.get(tag) == (kind, name):
        return tag
    known = inverse.get((kind, name), [])
    if len(known) == 1:
        return known[0]
    return kind if kind in WITHOUT_SPECIES else name if kind == "animal" else ""


def _by_event(rows: pd.DataFrame, media: pd.DataFrame) -> pd.DataFrame:
    """Return the labels of events, for each of their images."""
    rows = rows[rows["mediaID"] == ""]
    labels = _resolve(rows.assign(event=_event_key(rows)), "event")
    of_event = media["event"][media["event"].isin(labels.index)]
    return labels.reindex(of_event).set_axis(of_event.index, axis=0).rename_axis("mediaID")


def _resolve(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return one row for each value of the key: what the person who classified it last saw.

    Their label is SEVERAL where they saw several species.
    """
    rows = rows.assign(at=_instants(rows["classificationTimestamp"]), probability=_number(rows))
    rows = rows.sort_values(["at", "probability"], kind="stable", na_position="first")
    last = rows.groupby(key, sort=False)["classifiedBy"].transform("last")
    rows = rows[rows["classifiedBy"] == last]
    rows = rows[rows["rank"] == rows.groupby(key, sort=False)["rank"].transform("max")]
    count = rows.groupby(key, sort=False)["label"].transform("nunique")
    rows = rows.assign(label=rows["label"].mask(count > 1, SEVERAL)).drop_duplicates(key, keep="last")
    kept = ["label", "is_unknown", "classifiedBy", "classificationTimestamp", "comment"]
    return rows.set_index(key)[kept]


def _number(rows: pd.DataFrame) -> pd.Series:
    return pd.to_numeric(rows["classificationProbability"], errors="coerce")


def _instants(text: pd.Series) -> pd.Series:
    return to_utc(text.where(text != "", None))


def _event_key(rows: pd.DataFrame) -> pd.Series:
    """Return what identifies an event in the whole package: its id, else its deployment and times."""
    span = rows["deploymentID"] + "\0" + rows["eventStart"] + "\0" + rows["eventEnd"]
    return (rows["deploymentID"] + "\0" + rows["eventID"]).where(rows["eventID"] != "", span)


def _events_of_media(media: pd.DataFrame, observations: pd.DataFrame) -> pd.Series:
    """Return the event of each image, by mediaID: one that names it, else one of its deployment at its time."""
    named = observations[(observations["mediaID"] != "") & (observations["eventID"] != "")]
    linked = named.drop_duplicates("mediaID").set_index("mediaID")
    event = _event_key(linked).reindex(media.index)
    sequence = media["sequenceID"]
    event = event.fillna((media["deploymentID"] + "\0" + sequence).where(sequence != ""))
    spans = observations[observations["mediaID"] == ""]
    spans = spans.assign(event=_event_key(spans), at=_instants(spans["eventStart"]), end=_instants(spans["eventEnd"]))
    spans = spans.drop_duplicates("event").dropna(subset=["at", "end"]).sort_values("at")
    rest = media[event.isna()].assign(at=_instants(media["timestamp"])).dropna(subset=["at"])
    if not (len(spans) and len(rest)):
        return event.fillna("")
    rest = rest.reset_index().sort_values("at")
    joined = pd.merge_asof(
        rest[["mediaID", "deploymentID", "at"]],
        spans[["deploymentID", "at", "end", "event"]],
        on="at",
        by="deploymentID",
    )
    joined = joined[joined["at"] <= joined["end"]].set_index("mediaID")["event"]
    return event.fillna(joined.reindex(media.index)).fillna("")


def _with_media(labels: pd.DataFrame, media: pd.DataFrame, package: Package) -> pd.DataFrame:
    """Return the rows of PackageLabels: the labels with file, station and time of their images."""
    found = media.reindex(labels.index)
    path = found["filePath"]
    if "irbis" in package.descriptor:  # encodes names that the standard does not allow
        path = path.map(unquote)
    station = found["deploymentID"].map(_stations(package))
    return pd.DataFrame(
        {
            "path": path,
            "file_name": found["fileName"],
            "deployment": found["deploymentID"],
            "station": station.fillna(found["deploymentID"]),
            "captured_at": found["timestamp"].str.replace(OFFSET, "", regex=True),
            "sequence": first_nonempty(found["event"].str.partition("\0")[2]),
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
    is_name = (name != "") & (locations <= 1) & ("irbis" not in package.descriptor)
    station = first_nonempty(name.where(is_name, ""), identifier, table["deploymentID"])
    return dict(zip(table["deploymentID"], station, strict=True))
