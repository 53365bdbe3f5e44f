"""Upload a folder of images to a container: only files that the container lacks or has with other bytes."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.config.settings import Sources
from pipelines.errors import ImageError
from pipelines.images.signatures import require_signature
from pipelines.prefetch import prefetch_map
from pipelines.schemas import SourceFile
from pipelines.sources.file_kinds import lower_suffix
from pipelines.sources.own_files import OwnFiles
from pipelines.sources.path_rules import allowed_suffixes
from pipelines.sources.skipped_files import SkippedFiles
from pipelines.sources.stores.azure_blob import AzureBlobs
from pipelines.sources.stores.folder import Folder

if TYPE_CHECKING:
    from pipelines.sources.label_upload import LabelPlan

CONTENT_TYPES = {
    f".{name}": f"image/{name}" for name in ("avif", "heic", "heif", "jp2", "webp")
}  # unknown to older Pythons


@dataclass
class UploadSummary:
    """The counts of an upload; `failures` are pairs of path and reason."""

    found: int = 0
    sent: int = 0
    sent_bytes: int = 0
    skipped: int = 0
    labels: list[str] = field(default_factory=list)  # sentences on labels files
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.sent + self.skipped + len(self.failures)


def list_images(
    folder: Folder, rules: Sources, workspace: str, skipped: SkippedFiles, excluded: Collection[str] = ()
) -> list[SourceFile]:
    """List the images of a folder by the rules of ingest; count the other files, except `excluded`, in `skipped`."""
    own_files = OwnFiles(workspace, folder.root)
    return list(skipped.select_images(folder.list(), allowed_suffixes(rules), folder.peek, own_files, excluded))


def upload(
    folder: Folder,
    files: list[SourceFile],
    target: AzureBlobs,
    plan: LabelPlan,
    *,
    dry_run: bool,
    summary: UploadSummary,
) -> None:
    """Upload the files that the container lacks, with content type and MD5, in threads; count them in `summary`.

    Files without the signature of an image are failures and not uploaded. Files that exist with the same MD5 are
    skipped, so an interrupted upload resumes. The labels files of the plan are uploaded last. `dry_run`: everything
    except the upload itself.
    """
    from pipelines.sources.label_upload import send_labels  # imports pandas, which is only needed for an upload

    stored = {file.relative_path: file for file in target.list()}
    summary.found = len(files)

    def upload_one(file: SourceFile) -> int | tuple[str, str]:
        """Return the bytes sent, -1 for a skipped file, or a failure."""
        try:
            return send(file)
        except ImageError as error:
            return file.relative_path, str(error)

    def send(file: SourceFile) -> int:
        content = folder.fetch(file.path, file.etag)
        require_signature(content)
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        stored_file = stored.get(file.relative_path)
        if stored_file and stored_file.size == len(content) and stored_file.md5 == md5:
            return -1
        if not dry_run:
            target.put(file.relative_path, content, md5, guess_content_type(file.relative_path))
        return len(content)

    with prefetch_map(upload_one, files, target.threads, target.threads * 2, in_order=False) as results:
        for result in results:
            if isinstance(result, tuple):
                summary.failures.append(result)
            else:
                summary.skipped += result < 0
                summary.sent += result >= 0
                summary.sent_bytes += max(0, result)
    summary.labels, failures = send_labels(plan, stored, target, dry_run)
    summary.failures += failures


def guess_content_type(name: str) -> str:
    """Return the MIME type of a file name; application/octet-stream if it is unknown."""
    suffix = f".{lower_suffix(name)}"
    return CONTENT_TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0] or "application/octet-stream"
