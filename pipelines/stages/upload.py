"""Upload: a folder's images become blobs of a container, with a progress bar and a manifest at the end."""

from __future__ import annotations

from pipelines.config.settings import Settings
from pipelines.errors import DataError
from pipelines.progress import progress
from pipelines.sources.find_labels import find_label_files, labels_path_below
from pipelines.sources.label_upload import plan_labels
from pipelines.sources.registry import open_source
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.sources.stores.azure_blob import AzureBlobs
from pipelines.sources.stores.folder import Folder
from pipelines.sources.upload import UploadSummary, list_images, upload
from pipelines.stages.result import Stopwatch, format_duration

MAX_SHOWN = 10  # failures that are named


def upload_folder(folder: str, settings: Settings, dry_run: bool) -> tuple[list[str], bool]:
    """Upload to settings.sources.images; give the manifest's lines, and whether all that was found is there now."""
    clock, source = Stopwatch(), Folder(folder)
    target = open_source(settings)
    if not isinstance(target, AzureBlobs):
        raise DataError(f"{settings.sources.images} is a folder. Give a container: az://ACCOUNT/CONTAINER/PREFIX.")
    passed_over = SkippedFiles()
    label_files = find_label_files(source.folder, settings.sources.columns)
    used = {*label_files, *labels_path_below(settings.sources.labels, source.root)}
    blobs = list_images(source, settings.sources, settings.workspace, passed_over, used)
    if not blobs:
        others = f", only {passed_over}" if passed_over.total else ""
        raise DataError(
            f"{source.root} has no images with the suffixes of sources.extensions{others}. Give another folder."
        )
    plan = plan_labels(source, blobs, settings.sources, label_files)
    manifest = UploadSummary()
    with progress("upload", len(blobs), lambda: manifest.done):
        upload(source, blobs, target, plan, dry_run=dry_run, summary=manifest)
    lines = _lines(manifest, source, target, clock.seconds, dry_run)
    if note := passed_over.note(len(blobs)):
        lines.append(f"upload: note: {note}")
    return lines, not (manifest.failures or source.problems)


def _lines(manifest: UploadSummary, source: Folder, target: AzureBlobs, seconds: float, dry_run: bool) -> list[str]:
    megabytes = f"{manifest.sent_bytes / 1e6:,.1f} MB"
    parts = [
        f"{manifest.found:,} found",
        f"{manifest.sent:,} {'to send' if dry_run else 'sent'} ({megabytes})",
        f"{manifest.skipped:,} there already",
        f"{len(manifest.failures):,} failed",
        format_duration(seconds),
    ]
    lines = [f"upload: {', '.join(parts)}; {target.root}"]
    lines += [f"upload: {sentence}" for sentence in manifest.labels]
    lines += [f"upload: failed: {path}: {reason}" for path, reason in manifest.failures[:MAX_SHOWN]]
    if len(manifest.failures) > MAX_SHOWN:
        lines.append(
            f"upload: and {len(manifest.failures) - MAX_SHOWN:,} more failed. The same command tries them again."
        )
    lines += [f"upload: not read: {problem}" for problem in source.problems[:MAX_SHOWN]]
    if len(source.problems) > MAX_SHOWN:
        lines.append(f"upload: and {len(source.problems) - MAX_SHOWN:,} more could not be read.")
    return lines
