"""Upload a folder of images to a container: only what is not there yet with the same bytes."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.config.settings import Sources
from pipelines.errors import ImageError
from pipelines.images.signatures import require_signature
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
}  # old Pythons know none


@dataclass
class UploadSummary:
    """Count what became of every file; `failures` are path and reason."""

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
    """List the images of a folder, by the rules of ingest; count the other files but the `used` in `passed_over`."""
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
    """Send what the container lacks, with content type and MD5, by many threads; count it in `manifest` on the way.

    What does not begin as an image is not sent; it is one of the failures.

    What is there with the same MD5 is left alone, so an upload that was cut off goes on where it was. The labels files
    of the plan are sent last. `dry_run`: everything but the sending.
    """
    from pipelines.sources.label_upload import send_labels  # pandas: loaded only where something is sent

    stored = {file.relative_path: file for file in target.list()}
    summary.found = len(files)

    def upload_one(file: SourceFile) -> int:
        content = folder.fetch(file.path, file.etag)
        require_signature(content)
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        stored_file = stored.get(file.relative_path)
        if stored_file and stored_file.size == len(content) and stored_file.md5 == md5:
            return -1
        if not dry_run:
            target.put(file.relative_path, content, md5, guess_content_type(file.relative_path))
        return len(content)

    with ThreadPoolExecutor(target.threads) as pool:
        for file, future in _bounded_map(pool, upload_one, files, target.threads * 2):
            try:
                size = future.result()
            except ImageError as error:
                summary.failures.append((file.relative_path, str(error)))
            else:
                summary.skipped += size < 0
                summary.sent += size >= 0
                summary.sent_bytes += max(0, size)
    summary.labels, failures = send_labels(plan, stored, target, dry_run)
    summary.failures += failures


def guess_content_type(name: str) -> str:
    suffix = f".{lower_suffix(name)}"
    return CONTENT_TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0] or "application/octet-stream"


def _bounded_map(
    pool: ThreadPoolExecutor, upload_one: Callable[[SourceFile], int], files: list[SourceFile], limit: int
) -> Iterator[tuple[SourceFile, Future[int]]]:
    """Give every image with its finished future, as they come; at most `most` are in memory at once."""
    running: dict[Future[int], SourceFile] = {}
    for file in files:
        if len(running) >= limit:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future
        running[pool.submit(upload_one, file)] = file
    for future in wait(running).done:
        yield running[future], future
