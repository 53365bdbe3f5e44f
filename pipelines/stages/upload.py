"""Upload: copy the images of a folder to a container, with a progress bar and a summary at the end."""

from __future__ import annotations

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.formatting import format_duration
from pipelines.progress import progress
from pipelines.sources.find_labels import find_label_files, labels_path_below
from pipelines.sources.label_upload import plan_labels
from pipelines.sources.registry import open_source
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.sources.stores.azure_blob import AzureBlobs
from pipelines.sources.stores.folder import Folder
from pipelines.sources.upload import UploadSummary, list_images, upload
from pipelines.stages.result import Stopwatch

MAX_SHOWN = 10  # failures listed by name


def upload_folder(folder: str, settings: Settings, dry_run: bool) -> tuple[list[str], bool]:
    """Upload to settings.sources.images; return the lines of the summary, and whether all files are uploaded."""
    clock, source = Stopwatch(), Folder(folder)
    target = open_source(settings)
    if not isinstance(target, AzureBlobs):
        raise DataError(f"{settings.sources.images} is a folder. Give a container: az://ACCOUNT/CONTAINER/PREFIX.")
    skipped = SkippedFiles()
    label_files = find_label_files(source.folder, settings.sources.columns)
    used = {*label_files, *labels_path_below(settings.sources.labels, source.root)}
    blobs = list_images(source, settings.sources, settings.workspace, skipped, used)
    if not blobs:
        others = f", only {skipped}" if skipped.total else ""
        raise DataError(
            f"{source.root} has no images with the suffixes of sources.extensions{others}. Give another folder."
        )
    plan = plan_labels(source, blobs, settings.sources, label_files)
    summary = UploadSummary()
    with progress("upload", len(blobs), lambda: summary.done):
        upload(source, blobs, target, plan, dry_run=dry_run, summary=summary)
    lines = _summary_lines(summary, source, target, clock.seconds, dry_run)
    if note := skipped.note(len(blobs)):
        lines.append(f"upload: note: {note}")
    return lines, not (summary.failures or source.problems)


def _summary_lines(
    summary: UploadSummary, source: Folder, target: AzureBlobs, seconds: float, dry_run: bool
) -> list[str]:
    megabytes = f"{summary.sent_bytes / 1e6:,.1f} MB"
    parts = [
        f"{summary.found:,} found",
        f"{summary.sent:,} {'to send' if dry_run else 'sent'} ({megabytes})",
        f"{summary.skipped:,} there already",
        f"{len(summary.failures):,} failed",
        format_duration(seconds),
    ]
    lines = [f"upload: {', '.join(parts)}; {target.root}"]
    lines += [f"upload: {sentence}" for sentence in summary.labels]
    lines += [f"upload: failed: {path}: {reason}" for path, reason in summary.failures[:MAX_SHOWN]]
    if len(summary.failures) > MAX_SHOWN:
        lines.append(
            f"upload: and {len(summary.failures) - MAX_SHOWN:,} more failed. The same command tries them again."
        )
    lines += [f"upload: not read: {problem}" for problem in source.problems[:MAX_SHOWN]]
    if len(source.problems) > MAX_SHOWN:
        lines.append(f"upload: and {len(source.problems) - MAX_SHOWN:,} more could not be read.")
    return lines
