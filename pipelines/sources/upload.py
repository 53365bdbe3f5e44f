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

TYPES = {f".{name}": f"image/{name}" for name in ("avif", "heic", "heif", "jp2", "webp")}  # old Pythons know none


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
    folder: Folder, rules: Sources, workspace: str, passed_over: SkippedFiles, used: Collection[str] = ()
) -> list[SourceFile]:
    """List the images of a folder, by the rules of ingest; count the other files but the `used` in `passed_over`."""
    own = OwnFiles(workspace, folder.root)
    return list(passed_over.select_images(folder.list(), allowed_suffixes(rules), folder.peek, own, used))


def upload(
    folder: Folder,
    blobs: list[SourceFile],
    target: AzureBlobs,
    plan: LabelPlan,
    *,
    dry_run: bool,
    manifest: UploadSummary,
) -> None:
    """Send what the container lacks, with content type and MD5, by many threads; count it in `manifest` on the way.

    What does not begin as an image is not sent; it is one of the failures.

    What is there with the same MD5 is left alone, so an upload that was cut off goes on where it was. The labels files
    of the plan are sent last. `dry_run`: everything but the sending.
    """
    from pipelines.sources.label_upload import send_labels  # pandas: loaded only where something is sent

    stored = {blob.relative_path: blob for blob in target.list()}
    manifest.found = len(blobs)

    def one(blob: SourceFile) -> int:
        content = folder.fetch(blob.path, blob.etag)
        require_signature(content)
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        there = stored.get(blob.relative_path)
        if there and there.size == len(content) and there.md5 == md5:
            return -1
        if not dry_run:
            target.put(blob.relative_path, content, md5, content_type(blob.relative_path))
        return len(content)

    with ThreadPoolExecutor(target.threads) as pool:
        for blob, future in _finished(pool, one, blobs, target.threads * 2):
            try:
                size = future.result()
            except ImageError as error:
                manifest.failures.append((blob.relative_path, str(error)))
            else:
                manifest.skipped += size < 0
                manifest.sent += size >= 0
                manifest.sent_bytes += max(0, size)
    manifest.labels, failures = send_labels(plan, stored, target, dry_run)
    manifest.failures += failures


def content_type(name: str) -> str:
    suffix = f".{lower_suffix(name)}"
    return TYPES.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0] or "application/octet-stream"


def _finished(
    pool: ThreadPoolExecutor, one: Callable[[SourceFile], int], blobs: list[SourceFile], most: int
) -> Iterator[tuple[SourceFile, Future[int]]]:
    """Give every image with its finished future, as they come; at most `most` are in memory at once."""
    begun: dict[Future[int], SourceFile] = {}
    for blob in blobs:
        if len(begun) >= most:
            for future in wait(begun, return_when=FIRST_COMPLETED).done:
                yield begun.pop(future), future
        begun[pool.submit(one, blob)] = blob
    for future in wait(begun).done:
        yield begun[future], future
