"""The bytes behind a value of the column `image`, and what a caller cannot reach."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from pipelines.config.loader import RESERVED_VARIABLES
from pipelines.errors import ImageError, SettingsError
from pipelines.serving.image_input import FOLDERS_VARIABLE, URLS_VARIABLE, AllowedSources, read_image

from ..stages.conftest import jpeg

PHOTO = jpeg(90, 1)
TEXT = base64.b64encode(PHOTO).decode()
NOTHING, ANY = AllowedSources(), AllowedSources(any_file=True)
MAX = 1_000_000


def failure(value, allowed=NOTHING, max_bytes=MAX) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(value, allowed, max_bytes)
    return caught.value.failure


@pytest.mark.parametrize(
    "value",
    [
        PHOTO,
        bytearray(PHOTO),
        TEXT,
        f"  {TEXT}\n",
        "\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)),
        TEXT.rstrip("="),
        base64.urlsafe_b64encode(PHOTO).decode(),
        f"data:image/jpeg;base64,{TEXT}",
        f"DATA:;BASE64,{TEXT.replace('+', '%2B').replace('=', '%3D')}",
        "data:image/jpeg," + quote_from_bytes(PHOTO),
    ],
    ids=["bytes", "bytearray", "base64", "space", "lines", "no padding", "url-safe", "data", "escaped", "percent"],
)
def test_the_content_of_a_request_is_read_without_permission(value):
    assert read_image(value, NOTHING, MAX) == PHOTO


def test_base64_that_looks_like_an_absolute_path_is_an_image_wherever_files_are_allowed():
    assert TEXT.startswith("/9j/")
    assert read_image(TEXT, ANY, MAX) == PHOTO


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty"),
        (float("nan"), "empty"),
        ("", "empty"),
        ("  ", "empty"),
        (7, "not_an_image"),
        ("data:image/jpeg;base64", "not_an_image"),
        ("data:image/jpeg;base64,%%%", "not_an_image"),
        ("?" * 5000, "not_an_image"),
        ("photo.jpg", "forbidden"),
        ("/etc/passwd", "forbidden"),
        ("file:///etc/hostname.txt", "forbidden"),
        ("https://example.org/a.jpg", "forbidden"),
        ("ftp://example.org/a.jpg", "forbidden"),
        ("x.jpg\0", "forbidden"),
    ],
)
def test_what_is_no_image_or_not_allowed_has_a_failure(value, expected):
    assert failure(value) == expected


def test_text_that_is_neither_an_image_nor_a_file_is_left_to_the_decoder():
    assert read_image("aGVsbG8=", ANY, MAX) == b"hello"


@pytest.mark.parametrize("value", [PHOTO, TEXT, f"data:;base64,{TEXT}", "data:," + quote_from_bytes(PHOTO)])
def test_more_bytes_than_allowed_are_refused(value):
    assert failure(value, max_bytes=len(PHOTO) - 1) == "too_large"
    assert read_image(value, NOTHING, len(PHOTO)) == PHOTO


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Return a folder with open/a.jpg, open/ab (without a suffix) and secret/b.jpg."""
    for name in ("open/a.jpg", "open/ab", "secret/b.jpg", "open-not/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PHOTO)
    return tmp_path


def test_files_are_read_below_an_allowed_folder_only(folders):
    allowed = AllowedSources(folders=(str(folders / "open"),))
    assert read_image(str(folders / "open/a.jpg"), allowed, MAX) == PHOTO
    assert read_image((folders / "open/a.jpg").as_uri(), allowed, MAX) == PHOTO
    assert read_image(str(folders / "open/ab"), allowed, MAX) == PHOTO
    for name in ("secret/b.jpg", "open/../secret/b.jpg", "open-not/c.jpg", "secret/missing.jpg"):
        assert failure(str(folders / name), allowed) == "forbidden"
    assert read_image(str(folders / "secret/b.jpg"), ANY, MAX) == PHOTO


def test_a_link_that_leads_out_of_the_folder_is_not_followed(folders):
    (folders / "open/link.jpg").symlink_to(folders / "secret/b.jpg")
    (folders / "open/inside.jpg").symlink_to(folders / "open/a.jpg")
    allowed = AllowedSources(folders=(str(folders / "open"),))
    assert failure(str(folders / "open/link.jpg"), allowed) == "forbidden"
    assert read_image(str(folders / "open/inside.jpg"), allowed, MAX) == PHOTO


def test_what_is_no_regular_file_fails_at_once(folders):
    os.mkfifo(folders / "open/pipe.jpg")
    (folders / "open/folder.jpg").mkdir()
    assert failure(str(folders / "open/pipe.jpg"), ANY) == "not_an_image"
    assert failure(str(folders / "open/folder.jpg"), ANY) == "not_an_image"
    assert failure(str(folders / "open/missing.jpg"), ANY) == "vanished"
    assert failure(str(folders / "open/a.jpg/b.jpg"), ANY) == "vanished"
    assert failure(str(folders / "open/a.jpg"), ANY, max_bytes=10) == "too_large"
    assert failure("/dev/zero", ANY) in ("not_an_image", "forbidden")


def test_the_operator_allows_by_two_variables(folders):
    values = {"IRBIS_SERVE_FOLDERS": f"/data{os.pathsep}/mnt/b", "IRBIS_SERVE_URLS": "https://a/x  http://b:8080"}
    found = AllowedSources.from_environment(values)
    assert found.folders == ("/data", "/mnt/b")
    assert found.url_prefixes == ("https://a:443/x/", "http://b:8080/")
    assert AllowedSources.from_environment({}) == NOTHING
    assert {FOLDERS_VARIABLE, URLS_VARIABLE} == set(values) < RESERVED_VARIABLES  # they are no settings


@pytest.mark.parametrize("prefix", ["https://", "ftp://a/", "a.org/images", "https://u:p@a/", "https://a/?sig=1", "*"])
def test_a_prefix_that_is_none_is_refused(prefix):
    with pytest.raises(SettingsError, match="is no prefix of URLs"):
        AllowedSources(url_prefixes=(prefix,))
