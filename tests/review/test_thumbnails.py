"""Thumbnails: upright, without metadata, cached, bounded; a bad image harms nothing else."""

from __future__ import annotations

import io
import os
from hashlib import sha256

import pytest
from PIL import Image

from pipelines.errors import ImageError
from pipelines.review import thumbnails as module
from pipelines.review.thumbnails import Thumbnails, gone, prune

from .made import jpeg

pytestmark = pytest.mark.process


@pytest.fixture
def made(tmp_path):
    """Return a function from contents to Thumbnails of them, and the numbers of those that were read."""
    open_ones = []

    def make(*contents):
        reads = []

        def read(content_hash, ahead):
            reads.append(next(i for i, content in enumerate(contents) if digest(content) == content_hash))
            return contents[reads[-1]]

        thumbnails = Thumbnails(tmp_path / "cache", read, max_pixels=10**7, max_seconds=20, workers=1)
        open_ones.append(thumbnails)
        return thumbnails, reads

    yield make
    for each in open_ones:
        each.close()


def digest(content):
    return sha256(content).hexdigest()


def test_a_thumbnail_is_upright_small_and_has_no_metadata(made):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 0.0)}
    content = jpeg("x", (1600, 900), exif)
    assert b"Exif" in content
    thumbnails, _ = made(content)
    for size, expected in (("small", (225, 400)), ("large", (720, 1280))):
        path = thumbnails.get(digest(content), size).result(60)
        with Image.open(path) as image:
            assert (image.size, image.format, dict(image.getexif())) == (expected, "JPEG", {})
        assert b"Exif" not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_a_cached_thumbnail_is_not_made_again(made):
    content = jpeg("x")
    thumbnails, reads = made(content)
    first = thumbnails.get(digest(content), "small").result(60)
    assert thumbnails.get(digest(content), "small").result(60) == first
    again, reads_again = made(content)
    assert again.get(digest(content), "small").result(60) == first
    assert (reads, reads_again) == ([0], [])


def test_a_bad_image_is_an_error_and_the_next_one_is_shown(made):
    bad, good = jpeg("bad", (800, 600))[:900], jpeg("good")
    thumbnails, reads = made(bad, good)
    for _ in range(2):
        with pytest.raises(ImageError) as raised:
            thumbnails.get(digest(bad), "small").result(60)
        assert raised.value.failure == "truncated"
    assert reads == [0]  # not tried again and again
    with Image.open(io.BytesIO(thumbnails.get(digest(good), "small").result(60).read_bytes())) as image:
        assert image.size == (48, 36)


def test_an_image_is_shown_also_where_nothing_can_be_written(made, tmp_path):
    (tmp_path / "cache").write_bytes(b"no folder")
    content = jpeg("x")
    thumbnails, reads = made(content)
    for _ in range(2):
        with Image.open(io.BytesIO(thumbnails.get(digest(content), "small").result(60))) as image:
            assert image.size == (48, 36)
    assert reads == [0, 0]  # made again each time


def test_what_is_asked_for_comes_before_what_is_made_ahead(made):
    contents = [jpeg(str(i)) for i in range(30)]
    thumbnails, reads = made(*contents)
    thumbnails.make_ahead(digest(contents[i]) for i in range(29))
    thumbnails.get(digest(contents[29]), "small").result(60)
    assert 29 in reads[:25]


def test_the_oldest_files_are_removed_first(tmp_path):
    for number in range(6):
        path = tmp_path / "ab" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    os.utime(tmp_path / "ab" / "0.jpg", (99, 99))  # used again
    prune(tmp_path, 300)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["0.jpg", "4.jpg", "5.jpg"]


def test_bytes_that_were_being_moved_are_looked_for_again(tmp_path):
    found = iter([None, jpeg("x")])

    def read(content_hash, ahead):
        content = next(found)
        if content is None:
            raise gone()
        return content

    thumbnails = Thumbnails(tmp_path / "cache", read, max_pixels=10**7, max_seconds=20, workers=1)
    try:
        with pytest.raises(ImageError):
            thumbnails.get("a" * 64, "small").result(60)
        assert thumbnails.get("a" * 64, "small").result(60).is_file()
    finally:
        thumbnails.close()


def test_a_thumbnail_that_is_shown_again_counts_as_used(made):
    thumbnails, _ = made(content := jpeg("x"))
    path = thumbnails.get(digest(content), "small").result(60)
    os.utime(path, (1, 1))
    thumbnails.get(digest(content), "small").result(60)
    assert path.stat().st_mtime > 1_000_000_000


def test_only_so_many_are_made_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_AHEAD", 3)
    thumbnails = Thumbnails(tmp_path, lambda *_: b"", max_pixels=1, max_seconds=1, workers=0)
    thumbnails.make_ahead(digest(jpeg(str(i))) for i in range(9))
    assert len(thumbnails._waiting) == 3
