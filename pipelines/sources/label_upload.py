"""Decide which labels files go to a container with the images, and send them without losing what is there."""

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
from pipelines.sources.label_matching import match_labels
from pipelines.sources.labels import is_labels_file, read_label_table
from pipelines.sources.path_rules import compile_path_rule
from pipelines.sources.stores.azure_blob import AzureBlobs
from pipelines.sources.stores.folder import Folder

LABELS = "labels.csv"
SHOWN = 5  # classes that are named


@dataclass(frozen=True)
class LabelFile:
    """Hold a labels file to send, and what a sentence says of it before and after `is` or `would be`."""

    name: str
    content: bytes
    before: str
    after: str


@dataclass
class LabelPlan:
    """Hold the files to send, and sentences on labels that are not sent."""

    files: list[LabelFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_labels(folder: Folder, blobs: list[SourceFile], rules: Sources, own: list[str]) -> LabelPlan:
    """Return the labels files to send: the one that sources.labels names, else those of the folder, else one made.

    Labels are taken from the names of folders only where sources.labels says so and the folder has no labels files of
    its own. `own`: their names. Raises DataError if the file that sources.labels names cannot be read or names none of
    the images.
    """
    paths = [blob.relative_path for blob in blobs]
    if is_labels_file(rules.labels):
        return _named_file(folder, paths, rules, own)
    if rules.labels == "none":
        notes = [f"{name} of the folder is not sent: sources.labels is none" for name in own]
        return LabelPlan(notes=notes)
    if own:
        return LabelPlan([_own_file(folder, name, paths, rules) for name in own])
    rule = compile_path_rule(rules.labels)
    rows = [(path, label) for path in paths if (label := rule(path))]
    if not rows:
        return LabelPlan()
    counts = Counter(label for _, label in rows).most_common()
    shown = ", ".join(f"{label} {count:,}" for label, count in counts[:SHOWN])
    more = f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else ""
    before = f"{LABELS} with {len(rows):,} labels"
    after = f"written beside them, from the names of folders (sources.labels = {rules.labels}): {shown}{more}"
    return LabelPlan([LabelFile(LABELS, labels_csv(rows), before, after)])


def labels_csv(rows: list[tuple[str, str]]) -> bytes:
    """Return the labels as `irbis run --labels` reads them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label"))
    writer.writerows(rows)
    return text.getvalue().encode()


def send_labels(
    plan: LabelPlan, stored: Mapping[str, SourceFile], target: AzureBlobs, dry_run: bool
) -> tuple[list[str], list[tuple[str, str]]]:
    """Send the files of a plan. Return what was done with each, and names and reasons of those that failed.

    A file of the same name whose lines are not all in the new one is kept beside it, under a name with its date.
    """
    lines, failures = [], []
    verb = "would be" if dry_run else "is"
    for file in plan.files:
        try:
            kept = _replace(file, stored.get(file.name), target, dry_run)
        except ImageError as error:
            failures.append((file.name, str(error)))
            continue
        lines.append(f"{file.before} {verb} {file.after}")
        if kept:
            lines.append(f"another {file.name} was there: it {verb} kept as {kept}")
    return lines + plan.notes, failures


def _replace(file: LabelFile, there: SourceFile | None, target: AzureBlobs, dry_run: bool) -> str | None:
    """Store a file unless it is there already; return the name under which what it replaces is kept, if it is."""
    md5 = hashlib.md5(file.content, usedforsecurity=False).digest()
    if there and there.size == len(file.content) and there.md5 == md5:
        return None
    kept = None
    if there:
        old = target.fetch(there.path, there.etag)
        if not set(old.splitlines()) <= set(file.content.splitlines()):
            name = PurePosixPath(file.name)
            kept = f"{name.stem}.{there.modified_at:%Y%m%dT%H%M%S}{name.suffix}"
            if not dry_run:
                target.put(kept, old, hashlib.md5(old, usedforsecurity=False).digest(), _content_type(file.name))
    if not dry_run:
        target.put(file.name, file.content, md5, _content_type(file.name))
    return kept


def _content_type(name: str) -> str:
    return "application/octet-stream" if name.lower().endswith((".parquet", ".pq")) else "text/csv; charset=utf-8"


def _named_file(folder: Folder, paths: list[str], rules: Sources, own: list[str]) -> LabelPlan:
    """Plan to send the file that sources.labels names, under its own name."""
    if "://" in rules.labels:
        return LabelPlan(notes=[f"no labels are sent: {rules.labels} is not a file of this machine"])
    _, notes = match_labels(read_label_table(rules.labels, columns=rules.columns), paths, folder.root)
    file = Path(rules.labels).expanduser()
    others = [name for name in own if Path(folder.folder, name).resolve() != file.resolve()]
    left_out = [f"{name} of the folder is not sent: sources.labels = {rules.labels}" for name in others]
    if file.is_dir():
        return LabelPlan(notes=[f"no labels are sent: {rules.labels} is a folder. Give one file", *left_out])
    after = f"sent as it is (sources.labels). {' '.join(notes)}"
    return LabelPlan([LabelFile(file.name, file.read_bytes(), file.name, after)], left_out)


def _own_file(folder: Folder, name: str, paths: list[str], rules: Sources) -> LabelFile:
    """Plan to send a labels file of the folder; that it cannot be used as it is only a note."""
    file = Path(folder.folder, name)
    try:
        _, notes = match_labels(read_label_table(str(file), columns=rules.columns), paths, folder.root)
        said = " ".join(notes)
    except DataError as error:
        said = f"But it cannot be used as it is: {' '.join(error.faults)}"
    after = f"sent as it is; names of folders are not taken as labels. {said}"
    return LabelFile(name, file.read_bytes(), name, after)
