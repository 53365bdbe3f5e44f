"""A source is one file in `stores`: nothing else has to know of it."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.sources import stores
from pipelines.sources.registry import find_root, open_source

TOY = """
SCHEMES = ("toy",)

def create_source(address, settings):
    return {"address": address, "threads": settings.ingest.threads}

def root_of(address):
    return f"{address}/"

def path_below(address, root):
    return None
"""


def test_a_new_source_is_one_new_file(tmp_path, monkeypatch, make_settings):
    (tmp_path / "toy_store.py").write_text(TOY)
    monkeypatch.setattr(stores, "__path__", [*stores.__path__, str(tmp_path)])
    found = open_source(make_settings({"sources.images": "toy://box/a", "ingest.threads": 3}))
    assert found == {"address": "toy://box/a", "threads": 3}
    assert find_root("toy://box/a") == "toy://box/a/"


@pytest.mark.parametrize(
    ("address", "root"),
    [
        ("/survey/2024/", "file:///survey/2024/"),
        ("file:/survey", "file:///survey/"),
        ("/", "file:///"),
        ("az://account/container", "https://account.blob.core.windows.net/container/"),
        ("az://account/container/a b", "https://account.blob.core.windows.net/container/a b/"),
        ("gopher://x", None),
    ],
)
def test_the_root_of_a_source_is_known_without_opening_it(address, root):
    assert find_root(address) == root


def test_an_unknown_scheme_is_refused_with_the_known_ones(make_settings):
    with pytest.raises(DataError, match=r"unknown scheme 'toy:'.*az:"):
        open_source(make_settings({"sources.images": "toy://box/a"}))
