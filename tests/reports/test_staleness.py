"""No text in the inputs ends the fingerprint comment of a report early."""

from __future__ import annotations

import json
import re

import pytest

from pipelines.reports.staleness import to_comment


@pytest.mark.parametrize("title", ["a --> b", "--->", "----!>", "<!-- a", "a -- b > c"])
def test_no_title_ends_the_to_comment_a_page_early(title):
    comment = to_comment({"settings": {"title": title}})
    inner = re.fullmatch(r"\n<!-- made of ([^>]*) -->\n", comment)[1]
    assert json.loads(inner) == {"settings": {"title": title}}
