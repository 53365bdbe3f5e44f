"""Every file of a folder is an image, is counted by kind, or was written by irbis."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.loader import load_settings
from pipelines.sources.file_kinds import FileKind
from pipelines.sources.find_labels import labels_path_below
from pipelines.sources.own_files import OwnFiles
from pipelines.sources.path_rules import allowed_suffixes
from pipelines.sources.skipped_files import MAX_SNIFFED, SkippedFiles
from pipelines.sources.stores.folder import Folder
from pipelines.sources.upload import list_images

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 20


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes {relative path: bytes} and returns the folder."""

    def files(contents: dict[str, bytes]) -> Path:
        for name, content in contents.items():
            file = tmp_path / "survey" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / "survey"

    return files


def picked(folder: Path, workspace: str = "/elsewhere", **settings: object) -> tuple[list[str], SkippedFiles]:
    passed_over = SkippedFiles()
    rules = load_settings(None, {f"sources.{name}": value for name, value in settings.items()}).sources
    return [blob.relative_path for blob in list_images(Folder(str(folder)), rules, workspace, passed_over)], passed_over


def test_the_note_accounts_for_every_file(write):
    files = {f"leopard/{i}.JPG": JPEG for i in range(12)}
    files |= {f"leopard/v{i}.{suffix}": b"" for i in range(20) for suffix in ("MP4", "avi")}
    files |= {f"leopard/r{i}.CR2": b"" for i in range(30)} | {f"r{i}.JPG.crdownload": JPEG for i in range(5)}
    files |= {f"bare{i}": JPEG for i in range(3)} | {"README": b"text", "1.JPG.xmp": b"", "a.xyz": b"x"}
    files |= {"@eaDir/1.JPG": JPEG, ".thumbnails/1.jpg": JPEG, "Thumbs.db": b""}
    images, passed_over = picked(write(files))
    assert (len(images), passed_over.total) == (12, len(files) - 12)
    assert passed_over.note(len(images)) == (
        "skipped 84 of 96 files: 40 videos (avi, mp4), 30 RAW images (cr2), 5 incomplete downloads (crdownload), "
        "4 files without a suffix, 1 metadata or text file (xmp), 1 other file (xyz), "
        "2 files in system folders (.thumbnails, @eaDir), 1 system or hidden file (Thumbs.db). To use them, extract "
        "frames from videos, convert RAW images to JPEG, download incomplete files again. 3 of the files without a "
        "known suffix are images by their first bytes (JPEG): rename them, or add `.` to sources.extensions."
    )
    assert set(passed_over.count_by_kind()) == set(FileKind) - {
        *(FileKind.IMAGE, FileKind.OTHER_IMAGE, FileKind.BACKUP, FileKind.AUDIO, FileKind.ARCHIVE)
    }


def test_where_all_files_are_images_there_is_no_note(write):
    images, passed_over = picked(write({"1.jpg": JPEG}))
    assert (images, passed_over.note(1)) == (["1.jpg"], None)
    _, passed_over = picked(write({"1.mp4": b""}))
    assert str(passed_over) == "1 file: 1 video (mp4)"


def test_files_without_a_suffix_are_read_where_the_settings_say_so(write):
    images, passed_over = picked(write({"1": JPEG, "2.jpg": JPEG, "3.jpg_large": JPEG}), extensions="jpg,.,jpg_large")
    assert (images, passed_over.total) == (["1", "2.jpg", "3.jpg_large"], 0)


def test_only_the_first_files_are_sniffed(write):
    _, passed_over = picked(write({f"{i:04}.bin": JPEG for i in range(MAX_SNIFFED + 7)}))
    note = (
        f"{MAX_SNIFFED} of the first {MAX_SNIFFED} files without a known suffix are images by their first bytes (JPEG"
    )
    assert note in passed_over.note(0)


OWN = {
    "ws/mlflow.db": b"",
    "ws/tables/images/_delta_log/0.json": b"",
    "ws/tables/images/part-0.parquet": b"",
    "ws/artifacts/1/plots/confusion.png": JPEG,
    "ws/sample/images/a/1.jpg": JPEG,
    "ws/reports/report.html": b"",
    "ws/runs/1/log.txt": b"",
}


def test_a_workspace_in_the_folder_is_not_of_the_source_but_what_people_put_there_is(write):
    folder = write(OWN | {"fox/1.jpg": JPEG, "ws/fox/2.jpg": JPEG, "ws/3.jpg": JPEG, "ws2/fox/4.jpg": JPEG})
    images, passed_over = picked(folder, str(folder / "ws"))
    assert images == ["fox/1.jpg", "ws/3.jpg", "ws/fox/2.jpg", "ws2/fox/4.jpg"]
    assert passed_over.total == 0


def test_another_workspace_is_known_by_its_tables(write):
    images, passed_over = picked(write(OWN | {"fox/1.jpg": JPEG}))
    assert (images, passed_over.total) == (["fox/1.jpg"], 0)


def test_a_workspace_of_which_nothing_but_the_sample_is_there_is_known_by_the_settings(write):
    folder = write({"ws/sample/images/a/1.jpg": JPEG, "fox/1.jpg": JPEG})
    (folder.parent / "link").symlink_to(folder)
    for source in (folder, folder.parent / "link"):
        assert picked(source, str(folder / "ws"))[0] == ["fox/1.jpg"]


def test_the_sample_set_in_a_workspace_may_be_the_source(write):
    folder = write(OWN)
    for below in ("ws/sample/images", "ws/sample"):
        images, _ = picked(folder / below, str(folder / "ws"))
        assert [name.rpartition("/")[2] for name in images] == ["1.jpg"]


def test_the_workspace_may_be_the_folder_of_images_itself(write):
    folder = write(OWN | {"ws/fox/2.jpg": JPEG, "ws/tables/3.jpg": JPEG})
    images, _ = picked(folder / "ws", str(folder / "ws"))
    assert images == ["fox/2.jpg", "tables/3.jpg"]


def test_a_workspace_in_the_container_of_the_images_is_known():
    root = "https://account.blob.core.windows.net/box/"
    own = OwnFiles("abfss://box@account.dfs.core.windows.net/survey/ws", f"{root}survey/")
    assert own.is_own("ws/artifacts/1.png", True) and own.is_own("ws/tables/1.parquet", False)
    assert not own.is_own("fox/artifacts/1.png", True) and not own.is_own("ws/fox/1.jpg", True)
    whole = OwnFiles("abfss://box@account.dfs.core.windows.net", root)
    assert whole.is_own("artifacts/1.png", True) and not whole.is_own("fox/1.jpg", True)
    other = OwnFiles("abfss://box@account.dfs.core.windows.net/else", f"{root}survey/")
    assert not other.is_own("artifacts/1.png", True)


def test_suffixes_of_the_settings_are_compared_without_dot_and_case():
    assert allowed_suffixes(load_settings(None, {"sources.extensions": ".JPG,png"}).sources) == {"jpg", "png"}


def test_files_that_are_used_are_not_counted_as_skipped(write):
    folder = Folder(str(write({"1.JPG": JPEG, "labels.csv": b"", "b/labels.csv": b"", "notes.txt": b""})))
    rules, passed_over = load_settings().sources, SkippedFiles()
    blobs = list_images(
        folder, rules, "/elsewhere", passed_over, labels_path_below(f"{folder.folder}/labels.csv", folder.root)
    )
    assert len(blobs) == 1
    assert passed_over.note(1) == "skipped 2 of 3 files: 2 metadata and text files (csv, txt)."
    assert labels_path_below("/elsewhere/labels.csv", folder.root) == labels_path_below("none", folder.root) == []
