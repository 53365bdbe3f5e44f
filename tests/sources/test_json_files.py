"""JSON of any size: one element at a time, and a clear message where a file is broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.sources.json_files import CHUNK, JsonFile


def write(folder: Path, content: bytes | str) -> JsonFile:
    path = folder / "x.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return JsonFile(path)


def test_items_and_members_are_read_in_any_order_after_a_byte_order_mark(tmp_path):
    file = write(tmp_path, '\ufeff{"images": [{"a": 1}, {"a": 0.5}], "info": {"b": "é"}}')
    assert list(file.items("images")) == [{"a": 1}, {"a": 0.5}]
    assert file.members(["info", "absent"]) == {"info": {"b": "é"}}
    assert file.beginning() == {"images": {"a": 1}, "info": None}


@pytest.mark.parametrize("after", [0, 5])
def test_a_name_across_two_chunks_is_found(tmp_path, after):
    start = '{"x": "'
    padding = "-" * (CHUNK - len(start) - len('", "in') - after)
    assert write(tmp_path, f'{start}{padding}", "info": 7}}').members(["info"]) == {"info": 7}


def test_an_empty_list_is_no_fault(tmp_path):
    assert list(write(tmp_path, '{"images": []}').items("images")) == []


BROKEN = [
    (b"", "is empty. Copy or export it again."),
    (b'{"images": [{"a": 1}, {"a"', "ends in the middle: it was not written or copied completely."),
    (b'{"images": [{"a": 1}]', "ends in the middle"),
    (b'{"images": [{"a": NaN}]}', "is not valid JSON (NaN is no number of JSON), near '{\"images"),
    (b'{"images": [{"a": 1},]}', "is not valid JSON (Expecting value), near"),
    (b'{"images": []} {"images": []}', "is not valid JSON (text follows its end), near"),
    (b"path,label\na.jpg,fox\n", "is not valid JSON"),
    ('{"images": [{"a": "é"}]}'.encode("latin-1"), "is not in UTF-8. Convert it: iconv -f WINDOWS-1252"),
    ('{"images": []}'.encode("utf-16"), "is in UTF-16. Convert it: iconv -f UTF-16"),
    (gzip.compress(b'{"images": []}', mtime=0), "is compressed. Unpack it first: gunzip FILE."),
    (b'{"images": {"a": 1}}', "has no list 'images'"),
    (b'{"image": []}', "has no list 'images'"),
    (b"[1, 2]", "has no list 'images'"),
    (b'{"images": [{}, 3]}', "element 1 of images should be an object, not '3'"),
]


@pytest.mark.parametrize(("content", "reason"), BROKEN)
def test_a_broken_file_is_refused_with_the_remedy(tmp_path, content, reason):
    file = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        list(file.items("images"))
    assert reason in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"path,label\n", b"\x1f\x8b\x08", b"[1, 2]", b'"text"'])
def test_the_beginning_of_what_is_no_json_object_is_empty(tmp_path, content):
    assert write(tmp_path, content).beginning() == {}
    assert JsonFile(tmp_path).beginning() == {} == JsonFile(tmp_path / "absent.json").beginning()


def test_the_beginning_of_a_large_file_has_its_first_names(tmp_path):
    images = [{"file": f"{number}.jpg"} for number in range(20_000)]
    file = write(tmp_path, json.dumps({"info": {"format_version": "1.6"}, "images": images, "late": 1}))
    assert file.beginning() == {"info": None, "images": {"file": "0.jpg"}}


def test_a_list_is_read_like_a_member_and_another_file_is_not(tmp_path):
    assert list(write(tmp_path, '\ufeff [1, {"a": "é"}]\n').elements()) == [1, {"a": "é"}]
    with pytest.raises(DataError, match=r"x\.json holds no list"):
        list(write(tmp_path, '{"a": []}').elements())
    with pytest.raises(DataError, match=r"x\.json ends in the middle"):
        list(write(tmp_path, "[1, 2").elements())


def test_an_element_of_unlimited_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.sources.json_scanner.MAX_CHARACTERS", 1000)
    monkeypatch.setattr("pipelines.sources.json_scanner.READ_CHARACTERS", 100)
    images = [{"file": "a.jpg"}, {"file": "b.jpg", "detections": [{"conf": 0.5}] * 1000}]
    file = write(tmp_path, json.dumps({"info": {}, "images": images}))
    found = file.items("images")
    assert next(found) == {"file": "a.jpg"}
    with pytest.raises(DataError, match=r"x\.json is not valid JSON \(a single value has more than"):
        next(found)
    assert file.beginning() == {"info": None, "images": {"file": "a.jpg"}}
