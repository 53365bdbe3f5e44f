from __future__ import annotations

import pytest

from pipelines.tracking.model_version import MAX_TAG_LENGTH, Tags, encode_tags


@pytest.mark.parametrize(
    ("text", "is_kept"), [(MAX_TAG_LENGTH * "a", False), (MAX_TAG_LENGTH * "a" + "b", True), (1334 * "豹", True)]
)
def test_what_is_longer_than_a_tag_may_be_in_bytes_goes_into_a_file(text, is_kept):
    files = {}
    tags = encode_tags({"short": "as it is", "classes": text}, files.__setitem__)
    assert tags["irbis.short"] == "as it is"
    assert files == ({"tags/classes.txt": text} if is_kept else {})
    assert Tags(tags, files.__getitem__) == {"short": "as it is", "classes": text}


def test_a_file_is_read_when_its_tag_is_used_and_once():
    read = []
    there = {"irbis.long": "file: tags/long.txt", "irbis.short": "x", "mlflow.user": "somebody"}
    tags = Tags(there, lambda file: read.append(file) or "whole")
    assert (list(tags), tags["short"], read) == (["long", "short"], "x", [])
    assert (tags["long"], tags["long"], tags.get("mlflow.user"), read) == ("whole", "whole", None, ["tags/long.txt"])
