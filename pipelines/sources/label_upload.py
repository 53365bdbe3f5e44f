"""Choose the labels files to upload with the images, and upload them without losing existing ones."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipelines.config.settings import Sources
from pipelines.errors import DataError, ImageError
from pipelines.schemas import SourceFile
from pipelines.sources.camtrap_package import is_in_several_files
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import is_labels_file, read_label_table
from pipelines.sources.path_rules import compile_path_rule
from pipelines.sources.stores.azure_blob import AzureBlobs
from pipelines.sources.stores.folder import Folder

LABELS_NAME = "labels.csv"
MAX_EXAMPLES = 5  # labels listed in a message


@dataclass(frozen=True)
class LabelFile:
    """A labels file to upload, and the parts of its sentence before and after `is` or `would be`."""

    name: str
    content: bytes
    before: str
    after: str


@dataclass
class LabelPlan:
    """The labels files to upload, and sentences on labels that are not uploaded."""

    files: list[LabelFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_labels(folder: Folder, files: list[SourceFile], rules: Sources, folder_files: list[str]) -> LabelPlan:
    """Return the labels files to upload: the one in sources.labels, else those of the folder, else a generated one.

    `folder_files`: the names of the folder's own labels files. Labels are generated from folder names only if
    sources.labels says so and there are no such files. Raises DataError if the file in sources.labels cannot be read
    or matches none of the images.
    """
    paths = [file.relative_path for file in files]
    if is_labels_file(rules.labels):
        return _plan_named_file(folder, paths, rules, folder_files)
    if rules.labels == "none":
        notes = [f"{name} in the folder is not uploaded: sources.labels is none" for name in folder_files]
        return LabelPlan(notes=notes)
    if folder_files:
        return LabelPlan([_plan_folder_file(folder, name, paths, rules) for name in folder_files])
    rule = compile_path_rule(rules.labels)
    rows = [(path, label) for path in paths if (label := rule(path))]
    if not rows:
        return LabelPlan()
    counts = Counter(label for _, label in rows).most_common()
    shown = ", ".join(f"{label} {count:,}" for label, count in counts[:MAX_EXAMPLES])
    more = f" and {len(counts) - MAX_EXAMPLES:,} more" if len(counts) > MAX_EXAMPLES else ""
    before = f"{LABELS_NAME} with {len(rows):,} labels"
    after = f"written next to the images, from folder names (sources.labels = {rules.labels}): {shown}{more}"
    return LabelPlan([LabelFile(LABELS_NAME, format_labels_csv(rows), before, after)])


def format_labels_csv(rows: list[tuple[str, str]]) -> bytes:
    """Return the labels as CSV for `irbis run --labels`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label"))
    writer.writerows(rows)
    return text.getvalue().encode()


def send_labels(
    plan: LabelPlan, stored: Mapping[str, SourceFile], target: AzureBlobs, dry_run: bool
) -> tuple[list[str], list[tuple[str, str]]]:
    """Upload the files of a plan. Return a sentence for each, and name and reason of the failed ones.

    An existing file of the same name with lines that the new one lacks is kept under a name with its date.
    """
    lines, failures = [], []
    verb = "would be" if dry_run else "is"
    for file in plan.files:
        try:
            backup_name = _replace(file, stored.get(file.name), target, dry_run)
        except ImageError as error:
            failures.append((file.name, str(error)))
            continue
        lines.append(f"{file.before} {verb} {file.after}")
        if backup_name:
            lines.append(f"the existing {file.name} {verb} kept as {backup_name}")
    return lines + plan.notes, failures


def _replace(file: LabelFile, stored_file: SourceFile | None, target: AzureBlobs, dry_run: bool) -> str | None:
    """Upload a file unless it exists already; return the name under which the replaced file is kept, if it is."""
    md5 = hashlib.md5(file.content, usedforsecurity=False).digest()
    if stored_file and stored_file.size == len(file.content) and stored_file.md5 == md5:
        return None
    backup_name = None
    if stored_file:
        old_content = target.fetch(stored_file.path, stored_file.etag)
        if not set(old_content.splitlines()) <= set(file.content.splitlines()):
            name = PurePosixPath(file.name)
            backup_name = f"{name.stem}.{stored_file.modified_at:%Y%m%dT%H%M%S}{name.suffix}"
            if not dry_run:
                target.put(
                    backup_name,
                    old_content,
                    hashlib.md5(old_content, usedforsecurity=False).digest(),
                    _content_type(file.name),
                )
    if not dry_run:
        target.put(file.name, file.content, md5, _content_type(file.name))
    return backup_name


def _content_type(name: str) -> str:
    if name.lower().endswith((".parquet", ".pq", ".zip")):
        return "application/octet-stream"
    return "application/json" if name.lower().endswith(".json") else "text/csv; charset=utf-8"


def _plan_named_file(folder: Folder, paths: list[str], rules: Sources, folder_files: list[str]) -> LabelPlan:
    """Plan the upload of the file in sources.labels, under its own name."""
    if "://" in rules.labels:
        return LabelPlan(notes=[f"no labels are uploaded: {rules.labels} is not a local file"])
    _, notes = match_labels(read_label_table(rules.labels, columns=rules.columns), paths, folder.root)
    file = Path(rules.labels).expanduser()
    other_files = [name for name in folder_files if Path(folder.folder, name).resolve() != file.resolve()]
    skipped = [f"{name} in the folder is not uploaded: sources.labels = {rules.labels}" for name in other_files]
    if is_in_several_files(file):
        reason = "is a Camtrap DP package of several files. Give a zip archive of it"
        return LabelPlan(notes=[f"no labels are uploaded: {rules.labels} {reason}", *skipped])
    if file.is_dir():
        return LabelPlan(notes=[f"no labels are uploaded: {rules.labels} is a folder. Give one file", *skipped])
    after = f"uploaded unchanged (sources.labels). {' '.join(notes)}"
    return LabelPlan([LabelFile(file.name, file.read_bytes(), file.name, after)], skipped)


def _plan_folder_file(folder: Folder, name: str, paths: list[str], rules: Sources) -> LabelFile:
    """Plan the upload of a labels file in the folder; if ingest could not use it, that is only a note."""
    file = Path(folder.folder, name)
    try:
        _, notes = match_labels(read_label_table(str(file), columns=rules.columns), paths, folder.root)
        remark = " ".join(notes)
    except DataError as error:
        remark = f"But ingest cannot use it: {' '.join(error.faults)}"
    after = f"uploaded unchanged; folder names are not used as labels. {remark}"
    return LabelFile(name, file.read_bytes(), name, after)
