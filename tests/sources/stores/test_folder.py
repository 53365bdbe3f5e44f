"""A folder of images: odd names, links, pipes, and files that disappear while they are read."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import unicodedata
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipelines.config.loader import load_settings
from pipelines.errors import DataError, ImageError
from pipelines.schemas import Failure
from pipelines.sources.registry import Source, open_source
from pipelines.sources.stores import folder as folders
from pipelines.sources.stores.folder import Folder

NFC, NFD = "Jaguar\u00e9.jpg", unicodedata.normalize("NFD", "Jaguar\u00e9.jpg")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes as names")


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def opened(address: str) -> Source:
    return open_source(load_settings(None, {"sources.images": address}))


def relative(folder: Folder) -> list[str]:
    return [blob.relative_path for blob in folder.list()]


def test_a_listed_file_has_its_path_size_time_and_bytes(tmp_path):
    put(tmp_path, "a b/c.jpg")
    os.utime(tmp_path / "a b/c.jpg", ns=(0, 1_404_228_129_123_456_789))
    source = Folder(str(tmp_path))
    (blob,) = source.list()
    assert source.root == f"file://{tmp_path}/"
    assert blob.path == f"file://{tmp_path}/a b/c.jpg"
    assert (blob.relative_path, blob.size) == ("a b/c.jpg", 9)
    assert blob.modified_at == datetime(2014, 7, 1, 15, 22, 9, 123456, tzinfo=timezone.utc)
    assert source.fetch(blob.path, blob.etag) == b"a b/c.jpg"


@linux_only
def test_odd_names_are_listed_and_fetched_as_they_are(tmp_path):
    names = [" a.jpg", "#1?.jpg", "%20.jpg", ".hidden.jpg", "_2.jpg", "a\nb.jpg", "a\\b.jpg", NFD, NFC, "x/..jpg"]
    put(tmp_path, *names)
    source = Folder(str(tmp_path))
    blobs = list(source.list())
    assert [blob.relative_path for blob in blobs] == sorted(names)
    assert [source.fetch(blob.path, blob.etag).decode() for blob in blobs] == sorted(names)


def test_files_come_in_the_same_order_always(tmp_path):
    put(tmp_path, "b/2.jpg", "b/1.jpg", "z.jpg", "a/9.jpg")
    assert relative(Folder(str(tmp_path))) == ["z.jpg", "a/9.jpg", "b/1.jpg", "b/2.jpg"]


def test_links_are_followed_in_the_folder_alone_and_a_folder_is_read_by_its_real_name(tmp_path):
    put(tmp_path, "images/a/real/1.jpg", "elsewhere/2.jpg", "elsewhere/more/3.jpg", "images_2/4.jpg")
    images = tmp_path / "images"
    (images / "a/loop").symlink_to(images)
    (images / "a/0_link").symlink_to(images / "a/real")
    (images / "a/far").symlink_to(tmp_path / "elsewhere")
    (images / "a/sibling.jpg").symlink_to("../../images_2/4.jpg")
    (images / "key.jpg").symlink_to(tmp_path / "elsewhere/2.jpg")
    (images / "again.jpg").symlink_to("a/real/1.jpg")
    (images / ".venv").mkdir()
    (images / ".venv/python").symlink_to(sys.executable)
    source = Folder(str(images))
    assert relative(source) == ["again.jpg", "a/real/1.jpg"]
    why = "a symbolic link that leads out of the folder is not followed; copy what it points to into the folder"
    assert source.problems == [f"{images}/{name}: {why}" for name in ("key.jpg", "a/far", "a/sibling.jpg")]


def test_a_folder_that_is_itself_reached_by_a_link_is_listed_and_fetched(tmp_path):
    put(tmp_path, "real/a/1.jpg")
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    source = Folder(str(tmp_path / "alias"))
    (blob,) = source.list()
    assert (blob.path, source.problems) == (f"file://{tmp_path}/alias/a/1.jpg", [])
    assert source.fetch(blob.path, blob.etag) == b"real/a/1.jpg"


def test_a_file_that_became_a_link_after_the_listing_is_not_read_from_elsewhere(tmp_path):
    put(tmp_path, "images/a/1.jpg", "elsewhere/1.jpg")
    source = Folder(str(tmp_path / "images"))
    (blob,) = source.list()
    for old, new in (("images/a/1.jpg", "elsewhere/1.jpg"), ("images/a", "elsewhere")):
        os.rename(tmp_path / old, tmp_path / f"old {old.count('/')}")
        (tmp_path / old).symlink_to(tmp_path / new)
        failure, detail = fetch_failure(source, blob.path, blob.etag)
        assert failure == Failure.FORBIDDEN and "link" in detail


@linux_only
def test_what_cannot_be_listed_is_a_problem_and_the_rest_is_listed(tmp_path):
    put(tmp_path, "good.jpg")
    (tmp_path / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "nowhere.jpg").symlink_to("gone.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"x")
    source = Folder(str(tmp_path))
    assert relative(source) == ["good.jpg"]
    assert sorted(source.problems) == sorted(
        [
            f"b'{tmp_path}/caf\\xe9.jpg': the name is not UTF-8; rename the file",
            f"{tmp_path}/itself.jpg: Too many levels of symbolic links",
            f"{tmp_path}/nowhere.jpg: No such file or directory",
            f"{tmp_path}/pipe.jpg: neither file nor folder",
        ]
    )
    assert all(problem.encode("utf-8") for problem in source.problems)


def test_a_folder_that_cannot_be_read_is_a_problem_and_the_rest_is_listed(tmp_path, monkeypatch):
    put(tmp_path, "good.jpg", "locked/1.jpg", "lost+found/locked/1.jpg")  # of the system's folders only root reads
    scandir = os.scandir

    def refusing(path):  # rights do not stop root, who runs many a container
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    source = Folder(str(tmp_path))
    assert relative(source) == ["good.jpg"]
    assert source.problems == [f"{tmp_path}/locked: Permission denied"]


def fetch_failure(source: Folder, path: str, etag: str) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        source.fetch(path, etag)
    return caught.value.failure, caught.value.detail


def test_a_file_that_goes_after_the_listing_has_vanished(tmp_path):
    put(tmp_path, "a/1.jpg", "b/2.jpg")
    source = Folder(str(tmp_path))
    first, second = source.list()
    (tmp_path / "a/1.jpg").unlink()
    (tmp_path / "b/2.jpg").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "b").write_bytes(b"a file where a folder was")
    assert fetch_failure(source, first.path, first.etag)[0] == Failure.VANISHED
    assert fetch_failure(source, second.path, second.etag)[0] == Failure.VANISHED


def test_a_file_overwritten_after_the_listing_has_changed(tmp_path):
    put(tmp_path, "1.jpg")
    source = Folder(str(tmp_path))
    (blob,) = source.list()
    (tmp_path / "1.jpg").write_bytes(b"longer than before")
    assert fetch_failure(source, blob.path, blob.etag)[0] == Failure.CHANGED
    os.utime(tmp_path / "1.jpg", (1, 1))
    (blob,) = source.list()
    os.utime(tmp_path / "1.jpg", (2, 2))  # as long as before
    assert fetch_failure(source, blob.path, blob.etag)[0] == Failure.CHANGED


def test_a_file_written_while_it_is_read_has_changed(tmp_path, monkeypatch):
    put(tmp_path, "1.jpg")
    source = Folder(str(tmp_path))
    (blob,) = source.list()
    etags = iter([blob.etag, "another"])
    monkeypatch.setattr(folders, "_etag", lambda status: next(etags))
    assert fetch_failure(source, blob.path, blob.etag)[0] == Failure.CHANGED


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_is_refused_may_be_had_next_time(tmp_path, monkeypatch, error):
    put(tmp_path, "1.jpg")
    source = Folder(str(tmp_path))
    (blob,) = source.list()

    def refuse(*_):
        raise error

    monkeypatch.setattr("builtins.open", refuse)
    failure, detail = fetch_failure(source, blob.path, blob.etag)
    assert (failure, detail) == (Failure.FORBIDDEN, error.strerror)
    assert Failure(failure).is_transient


def test_a_source_travels_to_executors(tmp_path):
    put(tmp_path, "1.jpg")
    source = Folder(str(tmp_path))
    (blob,) = source.list()
    there = pickle.loads(pickle.dumps(source))
    content = there.fetch(blob.path, blob.etag)
    assert hashlib.sha256(content).hexdigest() == hashlib.sha256(b"1.jpg").hexdigest()


@pytest.mark.parametrize("address", ["{}", "{}/", "file://{}", "file:{}", "{}/../{name}"])
def test_a_folder_may_be_given_in_several_ways(tmp_path, address):
    put(tmp_path, "1.jpg")
    source = opened(address.format(tmp_path, name=tmp_path.name))
    assert [blob.path for blob in source.list()] == [f"file://{tmp_path}/1.jpg"]


def test_a_folder_is_found_from_here_and_from_home(tmp_path, monkeypatch):
    put(tmp_path, "images/1.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert opened("images").root == opened("~/images").root == f"file://{tmp_path}/images/"


def test_what_is_no_folder_is_refused_with_its_name(tmp_path):
    put(tmp_path, "1.jpg")
    with pytest.raises(DataError, match=r"1\.jpg is a file\. Give a folder of images"):
        opened(str(tmp_path / "1.jpg"))
    with pytest.raises(DataError, match=r"gone does not exist\. Give a folder of images"):
        opened(str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"sources\.images = s3://bucket/x: unknown scheme 's3:'"):
        opened("s3://bucket/x")
