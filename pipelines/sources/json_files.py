"""Read JSON files of any size as a stream: one element at a time is in memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from pipelines.errors import DataError
from pipelines.sources.json_scanner import ScanError, Scanner

CHUNK = 2**20  # bytes read at once
SNIFF_BYTES = 2**18  # the beginning of a file, by which its format is recognized
UNREADABLE = {  # what a file begins with -> what it is, and the remedy
    b"\x1f\x8b": "is compressed. Unpack it first: gunzip FILE",
    b"PK\x03\x04": "is compressed. Unpack it first: unzip FILE",
    codecs.BOM_UTF16_LE: "is in UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 FILE",
    codecs.BOM_UTF16_BE: "is in UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 FILE",
}


class JsonFile:
    """A JSON file, whose values are read one after the other. `content`: that of a remote file."""

    def __init__(self, path: Path | str, content: bytes | None = None):
        self.path = Path(path)
        self._content = content

    def __str__(self) -> str:
        return str(self.path)

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the list that the file holds. Raises DataError where the file is no valid JSON."""
        with self._scan() as scanner:
            if scanner.peek() != "[":
                raise DataError(f"{self.path} holds no list. Is it a file of another format?")
            yield from scanner.elements()
            scanner.finish()

    def items(self, member: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of the list in a member of the root, such as `images`.

        Raises DataError at the place where the file is no valid JSON, or the element is no object.
        """
        has_list = False
        with self._scan() as scanner:
            for name in scanner.members() if scanner.peek() == "{" else ():
                if name != member or scanner.peek() != "[":
                    scanner.skip()
                    continue
                has_list = True
                for count, item in enumerate(scanner.elements()):
                    if not isinstance(item, dict):
                        raise DataError(
                            f"{self.path}: element {count} of {member} should be an object, not {str(item)[:80]!r}."
                        )
                    yield cast(dict[str, Any], item)
            if scanner.peek() != "[":
                scanner.finish()
        if not has_list:
            raise DataError(f"{self.path} has no list {member!r}. Is it a file of another format?")

    def members(self, names: Sequence[str]) -> dict[str, Any]:
        """Return small members of the root that exist, by name. Those near the beginning of the file are read fast."""
        wanted = {name for name in names if self._contains(f'"{name}"'.encode())}
        found: dict[str, Any] = {}
        if not wanted:
            return found
        with self._scan() as scanner:
            for name in scanner.members() if scanner.peek() == "{" else ():
                if name not in wanted:
                    scanner.skip()
                    continue
                found[name] = scanner.decode()
                if len(found) == len(wanted):
                    break
        return found

    def beginning(self) -> dict[str, Any]:
        """Return the names of the members that begin in the first 256 KB, each with the first element of its list.

        That is null for what is no list, empty, or longer. Nothing is returned if the file is no JSON object.
        """
        found: dict[str, Any] = {}
        try:
            with self._open() as file:
                head = file.read(SNIFF_BYTES).decode("utf-8", "ignore")
        except DataError:
            return found
        scanner = Scanner(io.StringIO(head))
        with suppress(ScanError):  # the head of a file ends in the middle
            for name in scanner.members():
                found[name] = None
                if scanner.peek() != "[":
                    scanner.skip()
                    continue
                for count, element in enumerate(scanner.elements()):
                    found[name] = found[name] if count else element
        return found

    @contextmanager
    def _scan(self) -> Iterator[Scanner]:
        with self._open() as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
            try:
                yield Scanner(text)
            except ScanError as error:
                raise DataError(self._explain(error)) from error
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{self.path} is not in UTF-8. Convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE, or export it again "
                    "as UTF-8."
                ) from error

    def _contains(self, text: bytes) -> bool:
        """Return whether the file has the text anywhere: a search is ten times as fast as a parse."""
        rest = b""
        with self._open() as file:
            while chunk := file.read(CHUNK):
                if text in rest + chunk:
                    return True
                rest = chunk[-len(text) :]
        return False

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """Open the file after its byte-order mark. Raises DataError if it is empty, compressed or in UTF-16."""
        try:
            raw = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        except OSError as error:  # such as a folder
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        with raw as file:
            start = file.read(4)
            if not start:
                raise DataError(f"{self.path} is empty. Copy or export it again.")
            for signature, sentence in UNREADABLE.items():
                if start.startswith(signature):
                    raise DataError(f"{self.path} {sentence}.")
            file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
            yield file

    def _explain(self, error: ScanError) -> str:
        """Return a sentence with a remedy for an error of the scanner."""
        if error.is_cut:
            return f"{self.path} ends in the middle: it was not written or copied completely. Copy or export it again."
        return (
            f"{self.path} is not valid JSON ({error}), near {error.near!r}. Correct it, or export it again from its "
            "program."
        )
