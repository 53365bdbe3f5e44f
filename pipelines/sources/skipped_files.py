"""Select the images among all files of a source, and count every other file by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from pipelines.images.signatures import detect_supported_format
from pipelines.schemas import SourceFile
from pipelines.sources.file_kinds import FileKind, classify_file
from pipelines.sources.own_files import OwnFiles

MAX_EXAMPLES = 3  # suffixes or folders listed for each kind
MAX_SNIFFED = 200  # files without a known suffix whose first bytes are read
UNKNOWN_KINDS = (FileKind.BARE, FileKind.OTHER)
REMEDIES = {
    FileKind.VIDEO: "extract frames from videos",
    FileKind.RAW: "convert RAW images to JPEG",
    FileKind.INCOMPLETE: "download incomplete files again",
    FileKind.ARCHIVE: "unpack archives",
}


class SkippedFiles:
    """Counts of the files that are not read as images, by kind and evidence (suffix, folder or name)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[FileKind, str]] = Counter()
        self.images_without_suffix: Counter[tuple[FileKind, str, str]] = Counter()  # by detected format
        self.sniffed = 0

    def select_images(
        self,
        files: Iterable[SourceFile],
        suffixes: Collection[str],
        peek: Callable[[str], bytes] | None = None,
        own_files: OwnFiles | None = None,
        excluded: Collection[str] = (),
    ) -> Iterator[SourceFile]:
        """Yield the images and count the other files, except those that irbis itself wrote.

        `peek` returns the first bytes of a file, to find images without a known suffix among the first MAX_SNIFFED
        such files. `excluded`: relative paths that are not counted either, such as labels files.
        """
        for file in files:
            if file.relative_path in excluded:
                continue
            kind, sign = classify_file(file.relative_path, suffixes)
            if own_files and own_files.is_own(file.relative_path, kind == FileKind.IMAGE):
                continue
            if kind == FileKind.IMAGE:
                yield file
                continue
            self.counts[kind, sign] += 1
            if peek and kind in UNKNOWN_KINDS and self.sniffed < MAX_SNIFFED:
                self.sniffed += 1
                if format_ := detect_supported_format(peek(file.path)):
                    self.images_without_suffix[kind, sign, format_] += 1

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def count_by_kind(self) -> dict[FileKind, Counter[str]]:
        """Return the counts of each kind by evidence, in the order of FileKind."""
        by_kind: dict[FileKind, Counter[str]] = {}
        for kind in FileKind:
            signs = Counter({sign: n for (other, sign), n in self.counts.items() if other == kind})
            if signs:
                by_kind[kind] = signs
        return by_kind

    def __str__(self) -> str:
        """Return `78 files: 40 videos (mp4), 30 RAW images (cr2), 8 files without a suffix`."""
        return f"{self.total:,} {'file' if self.total == 1 else 'files'}: {self._format_kinds()}"

    def note(self, read: int) -> str | None:
        """Return sentences that count all files but the `read` images, with remedies; null if none was skipped."""
        if not self.total:
            return None
        sentences = [f"skipped {self.total:,} of {self.total + read:,} files: {self._format_kinds()}."]
        present = self.count_by_kind()
        remedies = [remedy for kind, remedy in REMEDIES.items() if kind in present]
        if remedies:
            sentences.append(f"To use them, {', '.join(remedies)}.")
        if self.images_without_suffix:
            sentences.append(self._describe_images_without_suffix())
        return " ".join(sentences)

    def _format_kinds(self) -> str:
        return ", ".join(
            f"{kind.count_text(sum(n.values()))}{_format_signs(n)}" for kind, n in self.count_by_kind().items()
        )

    def _describe_images_without_suffix(self) -> str:
        count = sum(self.images_without_suffix.values())
        formats = ", ".join(sorted({format_ for _, _, format_ in self.images_without_suffix}))
        suffixes = " and ".join(sorted({f"`{sign or '.'}`" for _, sign, _ in self.images_without_suffix}))
        unknown = sum(n for (kind, _), n in self.counts.items() if kind in UNKNOWN_KINDS)
        first = "" if self.sniffed == unknown else f"first {self.sniffed:,} "
        return (
            f"{count:,} of the {first}files without a known suffix are images by their first bytes ({formats}): "
            f"rename them, or add {suffixes} to sources.extensions."
        )


def _format_signs(signs: Counter[str]) -> str:
    names = [sign for sign, _ in sorted(signs.items(), key=lambda item: (-item[1], item[0])) if sign]
    more = f" and {len(names) - MAX_EXAMPLES:,} more" if len(names) > MAX_EXAMPLES else ""
    return f" ({', '.join(names[:MAX_EXAMPLES])}{more})" if names else ""
