"""JSON value by value: chunks end anywhere, and no value takes more memory than a limit."""

from __future__ import annotations

import io
import json
from itertools import chain, cycle, islice

import pytest

from pipelines.sources import json_scanner
from pipelines.sources.json_scanner import ScanError, Scanner

VALUES = [{"a": 'é"\\\u2028' * 3, "b": [1, -2.5e-3, None, True]}, "x]", [], {}, 1234, -0.5e10, False, "\U0001f98a"]


def scan(text: str) -> Scanner:
    return Scanner(io.StringIO(text))


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("options", [{}, {"ensure_ascii": False, "indent": 3}])
def test_values_are_the_same_wherever_chunks_end(monkeypatch, size, options):
    monkeypatch.setattr(json_scanner, "READ_CHARACTERS", size)
    scanner = scan(" " + json.dumps(VALUES, **options) + "\n")
    assert list(scanner.elements()) == VALUES
    scanner.finish()
    scanner = scan(json.dumps({"one": VALUES, "two": 17, "three": {"x": "y"}}, **options))
    found = {}
    for name in scanner.members():
        if name == "one":
            scanner.skip()
        else:
            found[name] = scanner.decode()
    scanner.finish()
    assert found == {"two": 17, "three": {"x": "y"}}


TEXT = '[{"a": "\\u00e9\\n", "b": -1.5e-3}, true, null, {"c": [false, {}]}]'


@pytest.mark.parametrize("end", range(len(TEXT)))
def test_a_text_that_is_cut_anywhere_is_called_so(end):
    scanner = scan(TEXT[:end])
    with pytest.raises(ScanError) as caught:
        list(scanner.elements())
    assert caught.value.is_cut


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2,]", "Expecting value"),
        ("[1 2]", "',' was expected"),
        ("[NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        ("[1] [2]", "text follows its end"),
        ("{}", "'[' was expected"),
        ('["a\nb"]', "Invalid control character at"),
        ('["\\ud800 x"]', "it has half a surrogate pair"),
        ("[" + "[" * 100_000 + "]" * 100_000 + "]", "it is nested too deeply"),
        ("[" + "9" * 5000 + "]", "Exceeds the limit"),
    ],
)
def test_what_is_no_json_is_refused_and_not_called_cut(text, reason):
    scanner = scan(text)
    with pytest.raises(ScanError, match=reason.replace("[", r"\[")) as caught:
        list(scanner.elements())
        scanner.finish()
    assert not caught.value.is_cut


class Endless(io.StringIO):
    """A text of many gigabytes, of which `count` characters were read."""

    count = 0

    def __init__(self, start: str, more: str):
        super().__init__()
        self.characters = chain(start, cycle(more))

    def read(self, size: int | None = -1) -> str:
        assert size is not None and size > 0
        self.count += size
        return "".join(islice(self.characters, size))


@pytest.mark.parametrize(
    ("start", "more"), [('["', "x"), ('["', "\\u00e9"), ('[{"a": "', "x"), ('[{"a": ["', '", "'), ("[[", "[], ")]
)
def test_a_value_without_an_end_is_refused_before_it_fills_the_memory(monkeypatch, start, more):
    monkeypatch.setattr(json_scanner, "MAX_CHARACTERS", 50_000)
    monkeypatch.setattr(json_scanner, "READ_CHARACTERS", 1000)
    stream = Endless(start, more)
    with pytest.raises(ScanError, match="a single value has more than"):
        next(Scanner(stream).elements())
    assert stream.count < 200_000


def test_a_list_may_be_longer_than_the_limit_of_a_value(monkeypatch):
    monkeypatch.setattr(json_scanner, "MAX_CHARACTERS", 500)
    monkeypatch.setattr(json_scanner, "READ_CHARACTERS", 100)
    items = [{"a": "x" * (number % 90)} for number in range(1000)]
    assert list(scan(json.dumps(items)).elements()) == items
    with pytest.raises(ScanError, match="a single value has more than"):
        list(scan(json.dumps([{"a": "x" * 2000}])).elements())
