"""Read JSON files of any size as a stream: one element at a time is in memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import ijson

from pipelines.errors import DataError

CHUNK = 2**20  # bytes read at once
SNIFF_BYTES = 2**18  # the beginning of a file, by which its format is recognized
UNREADABLE = {  # what a file begins with -> what it is, and the remedy
    b"\x1f\x8b": "is compressed. Unpack it first: gunzip FILE",
    b"PK\x03\x04": "is compressed. Unpack it first: unzip FILE",
    codecs.BOM_UTF16_LE: "is in UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 FILE",
    codecs.BOM_UTF16_BE: "is in UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 FILE",
}


class JsonFile:
    """A JSON file with one object, whose members are read one after the other. `content`: that of a remote file."""

    def __init__(self, path: Path | str, content: bytes | None = None):
        self.path = Path(path)
        self._content = content

    def __str__(self) -> str:
        return str(self.path)

    def items(self, member: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of the array in a member of the root, such as `images`. Numbers are float or int.

        Raises DataError at the place where the file is no valid JSON, or the element is no object.
        """
        count = -1
        for count, item in enumerate(self._parse(f"{member}.item")):
            if not isinstance(item, dict):
                raise DataError(
                    f"{self.path}: element {count} of {member} should be an object, not {str(item)[:80]!r}."
                )
            yield cast(dict[str, Any], item)
        if count < 0 and not isinstance(self.members([member]).get(member), list):
            raise DataError(f"{self.path} has no list {member!r}. Is it a file of another format?")

    def members(self, names: Sequence[str]) -> dict[str, Any]:
        """Return small members of the root that exist, by name. Those near the beginning of the file are read fast."""
        found = {}
        for name in names:
            if self._contains(f'"{name}"'.encode()):
                for value in self._parse(name):
                    found[name] = value
                    break
        return found

    def beginning(self) -> dict[str, Any]:
        """Return the names of the members that begin in the first 256 KB, each with the first element of its array.

        That is null for what is not an array, empty, or longer. Nothing is returned if the file is no JSON object.
        """
        if self.path.is_dir():
            return {}
        try:
            with self._open() as file:
                head = file.read(SNIFF_BYTES)
        except (DataError, OSError):
            return {}
        events = _until_error(ijson.parse(head, use_float=True))
        names = dict.fromkeys(value for prefix, event, value in events if prefix == "" and event == "map_key")
        return {name: next(_until_error(ijson.items(head, f"{name}.item", use_float=True)), None) for name in names}

    def _parse(self, prefix: str) -> Iterator[Any]:
        with self._open() as file:
            try:
                yield from ijson.items(file, prefix, buf_size=CHUNK, use_float=True)
            except (ijson.JSONError, UnicodeError) as error:
                raise DataError(self._explain(str(error))) from error

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
        raw = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        with raw as file:
            start = file.read(4)
            if not start:
                raise DataError(f"{self.path} is empty. Copy or export it again.")
            for signature, sentence in UNREADABLE.items():
                if start.startswith(signature):
                    raise DataError(f"{self.path} {sentence}.")
            file.seek(len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0)
            yield file

    def _explain(self, reason: str) -> str:
        """Return a sentence with a remedy for an error of the parser."""
        text = reason.replace("\\n", "\n")
        if "premature EOF" in text or "Incomplete" in text:
            return f"{self.path} ends in the middle: it was not written or copied completely. Copy or export it again."
        if "UTF8" in text:
            return (
                f"{self.path} is not in UTF-8. Convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE, or export it again as "
                "UTF-8."
            )
        what, _, excerpt = text.partition("\n")
        place = excerpt.partition("(right here)")[0].strip()[:120]
        return (
            f"{self.path} is not valid JSON ({what.strip(' .')}), near {place!r}. Correct it, or export it again "
            "from its program."
        )


def _until_error(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values up to the first error of the parser: the head of a file ends in the middle."""
    with suppress(ijson.JSONError, UnicodeError):
        yield from values
