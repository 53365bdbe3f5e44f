"""Decode a JSON text of any size value by value: one of them, of bounded length, is in memory at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

READ_CHARACTERS = 2**20  # at once
MAX_CHARACTERS = 2**24  # of a value: Python's objects take up to 25 times as much memory
SPACE = re.compile(r"[ \t\r\n]*")
# What may be left at the end of a text that was cut within a number, a name or an escaped character.
CUT = re.compile(r"\s*(-|\.|[eE][+-]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|\\?u?[0-9a-fA-F]{0,4})\s*")
MAX_CUT = 8  # characters that CUT matches


class ScanError(ValueError):
    """The text is no JSON, or has a value that is too long. `is_cut`: it ends in the middle."""

    def __init__(self, reason: str, near: str = "", is_cut: bool = False):
        super().__init__(reason)
        self.near = near
        self.is_cut = is_cut


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


DECODE = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode


class Scanner:
    """A position in a JSON text. Methods raise ScanError, or UnicodeDecodeError of the stream."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._text = ""
        self._position = 0
        self._is_at_end = False

    def peek(self) -> str:
        """Return the next character that is no space, empty at the end."""
        while True:
            match = SPACE.match(self._text, self._position)
            self._position = match.end() if match else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_more():
                return ""

    def decode(self) -> Any:
        """Return the value at the position."""
        self.peek()
        while True:
            try:
                value, end = DECODE(self._text, self._position)
                is_whole = len(self._text) - end > len("e+") or not self._read_more()  # a number may go on
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string") or len(self._text) - error.pos <= MAX_CUT
                if not (is_open and self._read_more()):
                    self._fail(error.msg, error.pos, is_open and error.msg.startswith("Unterminated"))
                continue
            except RecursionError:
                self._fail("it is nested too deeply", self._position)
            except ValueError as error:  # a constant, or a number of thousands of digits
                self._fail(str(error).partition(":")[0], self._position)
            if is_whole:
                self._require_unicode(value, end)
                self._position = end
                return value

    def elements(self) -> Iterator[Any]:
        """Yield the elements of the list at the position."""
        for _ in self._parts("[", "]"):
            yield self.decode()

    def members(self) -> Iterator[str]:
        """Yield the names of the object at the position. Before the next one, the value must be read or skipped."""
        for _ in self._parts("{", "}"):
            if self.peek() != '"':
                self._fail("a name in quotes was expected", self._position)
            name = self.decode()
            self._take(":")
            yield name

    def skip(self) -> None:
        """Skip the value at the position; of a list, element by element."""
        if self.peek() == "[":
            for _ in self.elements():
                pass
        else:
            self.decode()

    def finish(self) -> None:
        """Raise ScanError if anything follows."""
        if self.peek():
            self._fail("text follows its end", self._position)

    def _parts(self, first: str, last: str) -> Iterator[None]:
        """Yield before each part of a list or object, which the caller reads."""
        self._take(first)
        if self.peek() == last:
            self._take(last)
            return
        while True:
            yield
            if self.peek() == last:
                self._take(last)
                return
            self._take(",")

    def _take(self, expected: str) -> None:
        if self.peek() != expected:
            self._fail(f"{expected!r} was expected", self._position)
        self._position += 1

    def _read_more(self) -> bool:
        """Read on, and drop what comes before the position. Return false at the end."""
        length = len(self._text) - self._position
        if length > MAX_CHARACTERS:
            beginning = self._text[self._position :][:40]
            raise ScanError(f"a single value has more than {MAX_CHARACTERS / 1e6:.0f} million characters", beginning)
        more = "" if self._is_at_end else self._stream.read(max(READ_CHARACTERS, length))
        if not more:
            self._is_at_end = True
            return False
        self._text, self._position = self._text[self._position :] + more, 0
        return True

    def _require_unicode(self, value: Any, end: int) -> None:
        """Raise ScanError for half a surrogate pair, which no table can hold."""
        start = self._position
        if max(self._text.find(escape, start, end) for escape in ("\\ud", "\\uD")) < 0:
            return
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ScanError("it has half a surrogate pair", self._text[start : start + 40]) from None

    def _fail(self, reason: str, position: int, is_cut: bool = False) -> NoReturn:
        rest = self._text[position : position + MAX_CUT + 1]
        near = self._text[max(0, position - 20) : position + 20].strip()
        raise ScanError(reason, near, is_cut or CUT.fullmatch(rest) is not None)
