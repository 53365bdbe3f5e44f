"""Camera Trap Data Packages (Camtrap DP 1.0.2, of TDWG): written strictly valid; 0.1 to 1.0 are read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.atomic_write import write_atomic
from pipelines.config.settings import LabelMeaning, Settings
from pipelines.errors import DataError
from pipelines.exchange.camtrap import records
from pipelines.exchange.camtrap.deployments import Station, make_deployments, to_csv
from pipelines.exchange.camtrap.deployments_file import MISSING
from pipelines.exchange.camtrap.descriptor import describe_package
from pipelines.exchange.formats.base import Export, Exported, Format, Imported
from pipelines.exchange.observation_types import find_meaning
from pipelines.sources.camtrap_labels import read_package_labels
from pipelines.sources.camtrap_observations import WITHOUT_SPECIES, Meaning
from pipelines.sources.camtrap_package import DESCRIPTOR, is_package, open_package
from pipelines.sources.label_tables.table_content import join_path
from pipelines.sources.label_times import to_utc
from pipelines.spark.local_files import write_lines

FILES = ("deployments.csv", "media.csv", "observations.csv", DESCRIPTOR)
MAX_EXAMPLES = 10  # labels listed in a note
COLUMNS = (
    *("relative_path", "content_hash", "station", "camera", "captured_at", "burst_id", "failure", "label"),
    *("label_source", "reviewer", "reviewed_at", "is_unknown", "comment", "prediction", "score", "needs_review"),
    *("model_name", "model_version", "scored_at"),
)


def export(source: Export) -> Exported:
    """Write a package to the folder. Raises DataError with the stations that lack coordinates or a time zone."""
    settings = source.settings.export
    _require_own_files(source.folder, settings.deployments)
    rows = records.find_label(source.rows.select(*COLUMNS))
    result = Exported(files=[source.folder / name for name in FILES])
    usable = rows.where("station is not null and captured_at is not null")
    stations = _find_stations(usable)
    without_time = rows.where("captured_at is null").count()
    without_station = rows.where("captured_at is not null and station is null").count()
    _leave_out(result, {"without a capture time": without_time, "without a station": without_station})
    if not stations:
        raise DataError(
            f"No image can be exported to Camtrap DP: {without_time:,} have no capture time, {without_station:,} no "
            "station. Set sources.station, or give a labels file with the columns station and captured_at."
        )
    deployments, notes = make_deployments(stations, settings, only_with_images=source.is_filtered)
    result.notes += notes
    labels = [row["shown"] for row in usable.select("shown").where("shown is not null").distinct().collect()]
    meanings = {label: _written_meaning(label, settings.labels) for label in sorted(labels)}
    table = records.add_records(records.assign_deployments(usable, deployments), meanings, _find_tags(meanings))
    table = records.add_events(_select(table, settings.leave_out_people, result)).persist(StorageLevel.DISK_ONLY)
    if settings.leave_out_people:
        meanings = {label: meaning for label, meaning in meanings.items() if meaning[0] != "human"}
    try:
        (source.folder / DESCRIPTOR).unlink(missing_ok=True)  # until all files are of one export
        write_atomic(source.folder / FILES[0], to_csv(deployments))
        images = _write(records.media_lines(table), source.folder / FILES[1], records.MEDIA_COLUMNS)
        observed = records.observation_lines(table)
        observations = _write(observed, source.folder / FILES[2], records.OBSERVATION_COLUMNS)
    finally:
        table.unpersist()
    content = describe_package(deployments, meanings, settings, source.title, source.created_at)
    write_atomic(source.folder / DESCRIPTOR, content)
    result.written.update({"deployments": len(deployments), "observations": observations, "images": images})
    result.notes += _note_names(meanings, settings.labels)
    if settings.contributor is None:
        result.notes.append("The package names no contributor. Set export.contributor before you publish it.")
    return result


def read(path: Path, settings: Settings) -> Imported:
    """Return the labels in a package. Raises DataError if it cannot be read."""
    package = open_package(path)
    meanings = {label: _written_meaning(label, settings.export.labels) for label in settings.export.labels}
    found = read_package_labels(package, meanings)
    rows = found.rows
    reviewed_at = to_utc(rows["reviewed_at"].where(rows["reviewed_at"] != "", None))
    captured_at = to_utc(rows["captured_at"].where(rows["captured_at"] != "", None))
    texts = {name: rows[name].where(rows[name] != "", None) for name in ("label", "station", "reviewer", "comment")}
    below = join_path(rows["deployment"], rows["file_name"])
    paths = [("filePath", rows["path"]), ("deploymentID/fileName", below), ("fileName", rows["file_name"])]
    paths.append(("deploymentID/.../fileName", below))
    columns = {"path" if i == 0 else f"path_{i}": path for i, path in enumerate(paths)}
    labels = pd.DataFrame(
        {
            **{column: text.where(text != "", None) for column, (_, text) in columns.items()},
            **texts,
            "is_unknown": rows["is_unknown"],
            "is_machine": rows["is_machine"],
            "reviewed_at": reviewed_at,
            "captured_at": captured_at,
        }
    )
    return Imported(
        "Camtrap DP",
        labels,
        left_out=found.left_out,
        notes=found.notes,
        path_names={column: name for column, (name, _) in columns.items()},
        spanning_columns=frozenset([column for column, (name, _) in columns.items() if "..." in name]),
    )


def _require_own_files(folder: Path, deployments: str | None) -> None:
    """Raise DataError if files in the folder that would be replaced are not of an export."""
    present = [name for name in FILES if (folder / name).exists()]
    file = Path(deployments).expanduser().resolve() if deployments else None
    taken = [name for name in present if (folder / name).resolve() == file]
    if not taken and present and not _is_own(folder / DESCRIPTOR):
        taken = present
    if taken:
        raise DataError(
            f"{folder} has {', '.join(taken)}, which irbis did not write, and which would be replaced. Choose another "
            "folder: --out DIR."
        )


def _is_own(descriptor: Path) -> bool:
    try:
        return "irbis" in json.loads(descriptor.read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _find_stations(usable: DataFrame) -> dict[str, Station]:
    """Return what the images say of each station. Times are compared as text: collected, they depend on the machine."""
    found = usable.groupBy("station").agg(
        *[F.date_format(each("captured_at"), "yyyy-MM-dd HH:mm:ss").alias(each.__name__) for each in (F.min, F.max)],
        F.min("camera").alias("camera"),
        F.countDistinct("camera").alias("cameras"),
    )
    return {
        row["station"]: Station(
            datetime.fromisoformat(row["min"]),
            datetime.fromisoformat(row["max"]),
            row["camera"] if row["cameras"] == 1 else None,
        )
        for row in found.collect()
    }


def _written_meaning(label: str, meanings: Mapping[str, LabelMeaning]) -> Meaning:
    """Return the observation type and the scientific name of a label, which cannot be the text of a missing value."""
    kind, name = find_meaning(label, meanings)
    return kind, "" if name in MISSING else name


def _find_tags(meanings: Mapping[str, Meaning]) -> dict[str, str]:
    """Return the tags of labels that cannot be read back from observation type and scientific name."""
    shared = Counter(meanings.values())
    return {
        label: records.make_tag(label)
        for label, (kind, name) in meanings.items()
        if shared[kind, name] > 1 or label != (kind if kind in WITHOUT_SPECIES else name if kind == "animal" else "")
    }


def _select(table: DataFrame, leaves_out_people: bool, result: Exported) -> DataFrame:
    """Return the images that are exported; count the others by reason. Raises DataError if none is left."""
    is_person, is_outside = F.col("kind") == "human", F.col("deploymentID").isNull()
    counts = {
        (row["is_person"], row["is_outside"], row["kind"]): row["count"]
        for row in table.groupBy(is_person.alias("is_person"), is_outside.alias("is_outside"), "kind").count().collect()
    }
    outside = sum(count for (_, is_outside, _), count in counts.items() if is_outside)
    _leave_out(result, {"taken at no time of a deployment": outside})
    kept, count = table.where("deploymentID is not null"), sum(counts.values()) - outside
    if leaves_out_people:
        kept, count = kept.where(~is_person), count - counts.get((True, False, "human"), 0)
        _leave_out(result, {"of people": counts.get((True, False, "human"), 0)})
        if unclassified := counts.get((False, False, "unclassified"), 0):
            result.notes.append(f"{unclassified:,} images are unclassified: they may show people.")
    if not count:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in result.left_out.items())
        raise DataError(f"No image is left to export: {reasons}. Correct the deployments file or the settings export.")
    return kept


def _leave_out(result: Exported, counts: Mapping[str, int]) -> None:
    result.left_out.update({reason: count for reason, count in counts.items() if count})


def _write(lines: DataFrame, path: Path, columns: Sequence[str]) -> int:
    return write_lines(lines, path, header=f"{','.join(columns)}\n", footer="\n")


def _note_names(meanings: Mapping[str, Meaning], known: Mapping[str, LabelMeaning]) -> list[str]:
    """Return a note on labels that are written as scientific names, which they may not be."""
    names = [label for label, (kind, name) in meanings.items() if kind == "animal" and name and label not in known]
    if not names:
        return []
    more = f" and {len(names) - MAX_EXAMPLES:,} more" if len(names) > MAX_EXAMPLES else ""
    return [
        f"Labels written as scientific names: {', '.join(names[:MAX_EXAMPLES])}{more}. Where they are none, set "
        "export.labels, such as {fox: {scientific_name: Vulpes vulpes}}."
    ]


FORMAT = Format("camtrap-dp", "Camtrap DP", export, is_package, read)
