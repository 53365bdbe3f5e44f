"""The kind of a file, from its path alone."""

from __future__ import annotations

import pytest

from pipelines.config.loader import load_settings
from pipelines.sources.file_kinds import FileKind, classify_file, lower_suffix
from pipelines.sources.path_rules import allowed_suffixes

WANTED = allowed_suffixes(load_settings().sources)


@pytest.mark.parametrize(
    "path",
    [
        "leopard/@eaDir/1.JPG/SYNOPHOTO_THUMB_M.jpg",  # Synology
        "@EADIR/1.jpg",
        "#recycle/1.jpg",
        "@SynoDrive/1.jpg",
        "Network Recycle Bin 1/1.jpg",
        "@Recycle/1.jpg",  # QNAP
        "a/.@__thumb/s1001.jpg",
        "$RECYCLE.BIN/S-1-5-21/$R1.JPG",
        "RECYCLER/S-1-5-21-1-2-3/Dc1.JPG",
        "System Volume Information/1.jpg",
        "fox/.ipynb_checkpoints/1-checkpoint.JPG",
        "__MACOSX/fox/._1.jpg",
        "__MACOSX/fox/1.jpg",
        ".Trash-1000/files/1.jpg",
        ".Trashes/501/1.jpg",
        ".Spotlight-V100/1.jpg",
        ".fseventsd/1.jpg",
        ".thumbnails/1.jpg",
        "a/.picasaoriginals/1.jpg",
        "a/.AppleDouble/1.jpg",
        ".git/1.jpg",
        "a/.dtrash/files/1.jpg",  # digiKam
        "lost+found/1.jpg",
        "Catalog Previews.lrdata/A/1.jpg",
        "DeletedFiles/1.jpg",  # Timelapse
        "table/_delta_log/1.jpg",
    ],
)
def test_system_folders_are_known_wherever_they_lie(path):
    assert classify_file(path, WANTED)[0] == FileKind.SYSTEM_FOLDER


@pytest.mark.parametrize(
    "path",
    [
        "trash/1.jpg",
        "bin/1.jpg",
        "Recycled/1.jpg",
        "thumbnails/1.jpg",
        "thumbs.db/1.jpg",
        "previews/1.jpg",
        "a.b/1.jpg",
    ],
)
def test_folders_that_people_name_like_that_hold_images(path):
    assert classify_file(path, WANTED) == (FileKind.IMAGE, "jpg")


@pytest.mark.parametrize(
    ("name", "kind", "sign"),
    [
        ("1.JPG", FileKind.IMAGE, "jpg"),
        ("1.jfif", FileKind.IMAGE, "jfif"),
        ("1.jpe", FileKind.IMAGE, "jpe"),
        ("1.JPG ", FileKind.IMAGE, "jpg"),
        ("1.JPG.", FileKind.IMAGE, "jpg"),
        ("1.jpg\u200b", FileKind.IMAGE, "jpg"),
        ("~1.jpg", FileKind.IMAGE, "jpg"),
        ("Thumbs.db", FileKind.SYSTEM_FILE, "Thumbs.db"),
        ("desktop.ini", FileKind.SYSTEM_FILE, "desktop.ini"),
        (".DS_Store", FileKind.SYSTEM_FILE, ".DS_Store"),
        ("._1.jpg", FileKind.SYSTEM_FILE, "._*"),
        ("1.JPG:Zone.Identifier", FileKind.SYSTEM_FILE, "Zone.Identifier"),
        ("~$survey.xlsx", FileKind.SYSTEM_FILE, "~$*"),
        (".trashed-1700000000-1.jpg", FileKind.SYSTEM_FILE, ".*"),
        (".pending-1700000000-1.jpg", FileKind.INCOMPLETE, "jpg"),
        (".azDownload-5e-1.jpg", FileKind.INCOMPLETE, "jpg"),
        (".1.JPG.icloud", FileKind.INCOMPLETE, "icloud"),
        ("1.JPG.crdownload", FileKind.INCOMPLETE, "crdownload"),
        ("1.tif.part", FileKind.INCOMPLETE, "part"),
        ("1.jpg.filepart", FileKind.INCOMPLETE, "filepart"),
        ("1.JPG.download/1.JPG", FileKind.INCOMPLETE, "download"),
        ("1.JPG_original", FileKind.BACKUP, "jpg_original"),
        ("1.jpg~", FileKind.BACKUP, "jpg~"),
        ("1.MP4", FileKind.VIDEO, "mp4"),
        ("1.avi", FileKind.VIDEO, "avi"),
        ("1.CR2", FileKind.RAW, "cr2"),
        ("1.nef", FileKind.RAW, "nef"),
        ("1.psd", FileKind.OTHER_IMAGE, "psd"),
        ("1.wav", FileKind.AUDIO, "wav"),
        ("1.zip", FileKind.ARCHIVE, "zip"),
        ("1.jpg.xmp", FileKind.SIDECAR, "xmp"),
        ("labels.csv", FileKind.SIDECAR, "csv"),
        ("1", FileKind.BARE, ""),
        ("1.jpeg_large", FileKind.OTHER, "jpeg_large"),
    ],
)
def test_every_other_file_is_of_a_kind(name, kind, sign):
    assert classify_file(f"leopard/{name}", WANTED) == (kind, sign)


def test_what_the_settings_ask_for_is_read_but_not_from_system_folders():
    assert classify_file("1.CR2", {"cr2"})[0] == FileKind.IMAGE
    assert classify_file("1.jpg.part", {"part"})[0] == FileKind.IMAGE
    assert classify_file("1", {""})[0] == FileKind.IMAGE
    assert classify_file("1.jpg", {"png"}) == (FileKind.OTHER_IMAGE, "jpg")
    assert classify_file("@eaDir/1.CR2", {"cr2"})[0] == FileKind.SYSTEM_FOLDER


def test_a_suffix_ends_before_white_space_and_dots():
    assert [lower_suffix(name) for name in ("a.b/1.JPG", "a.b/c", "1.JPG .", "jpg", "1.", ".jpg")] == [
        *("jpg", "", "jpg", "", "", "jpg")
    ]
