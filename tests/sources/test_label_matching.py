"""Rows of a labels file and the images they match."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.sources.find_labels import find_label_files
from pipelines.sources.label_matching import match_labels
from pipelines.sources.label_paths import match_paths
from pipelines.sources.labels import read_label_table

KNOWN = ["S1/1.JPG", "S1/2.JPG", "S2/1.JPG", "s2/3.jpg", "S2/3.JPG"]


def match(folder: Path, text: str, paths: list[str] = KNOWN, root: str = "") -> tuple[dict[str, str | None], list[str]]:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    rows, notes = match_labels(read_label_table(str(folder / "t.csv")), paths, root)
    labels = rows["label"].astype(object).where(rows["label"].notna(), None)
    return dict(zip(rows["path"], labels, strict=True)), notes


def test_the_line_says_columns_labels_and_rows_that_match_nothing(tmp_path):
    labels, notes = match(
        tmp_path, "file,species,site\nS1/1.JPG,fox,a\nS1/2.JPG,,a\nS9/1.JPG,hare,b\nS9/2.JPG,hare,b\n"
    )
    assert labels == {"S1/1.JPG": "fox", "S1/2.JPG": None}
    assert notes == [
        "t.csv: label = species, path = file, station = site; 1 of 5 images have a label, 4 have none; 2 rows match no "
        "image, first S9/1.JPG."
    ]


def test_case_drives_and_slashes_match_where_one_image_can_be_meant(tmp_path):
    text = "path,label\nS1/1.JPG,a\nD:\\s1\\\\2.jpg,b\n//S2/./1.JPG,c\nS2/3.Jpg,d\nS1/1.jpg,e\n"
    labels, (note,) = match(tmp_path, text)
    assert labels == {"S1/1.JPG": "a", "S1/2.JPG": "b", "S2/1.JPG": "c"}
    assert "; 2 rows match no image, first S2/3.Jpg; " in note
    assert "; 1 rows match only if case is ignored, first D:/s1//2.jpg; " in note
    assert "1 rows match several images that differ only in case, first S2/3.Jpg (S2/3.JPG and " in note


def test_case_alone_never_hides_that_all_rows_fit(tmp_path):
    labels, (note,) = match(tmp_path, "path,label\nc:/x/s1/1.jpg,a\nc:/x/s1/2.jpg,b\n")
    assert labels == {"S1/1.JPG": "a", "S1/2.JPG": "b"}
    assert "; 2 rows match only if case is ignored, first c:/x/s1/1.jpg; " in note
    assert note.endswith("; prefixes removed from the paths: c:/x.")


def test_rows_of_another_folder_than_that_of_the_images_mean_none_of_them(tmp_path):
    text = "path,label\n2023/S1/1.JPG,fox\n2023/S1/2.JPG,fox\n2024/S1/1.JPG,hare\n"
    labels, (note,) = match(tmp_path, text, root="file:///data/survey/2024/")
    assert labels == {"S1/1.JPG": "hare"}
    assert "2 rows match no image, first 2023/S1/1.JPG" in note


def test_rows_that_go_through_the_folder_of_the_images_need_no_common_rule(tmp_path):
    text = "path,label\nC:\\Users\\a\\Survey\\S1\\1.JPG,a\nC:\\Users\\a\\Survey\\S1\\2.JPG,b\nD:\\survey\\S2\\1.JPG,c\n"
    labels, _ = match(tmp_path, text, root="file:///data/survey/")
    assert labels == {"S1/1.JPG": "a", "S1/2.JPG": "b", "S2/1.JPG": "c"}


def test_an_exact_path_is_never_cut_for_more_matches():
    known = ["S1/1.JPG", "1.JPG", "2.JPG"]
    assert match_paths(["S1/1.JPG", "S2/2.JPG", "S3/2.JPG"], known).images == {"S1/1.JPG": "S1/1.JPG"}


HEADER = "deployment_id,filename,location,is_blank,genus,species,common_name\n"


@pytest.mark.parametrize(
    ("paths", "taken"),
    [
        (["1/img-1.JPG", "1/img-2.JPG"], "location"),
        (["D1/IMG_1.JPG", "D2/IMG_1.JPG"], "deployment_id/filename"),
        (["x/D1/100RECNX/IMG_1.JPG", "x/D2/101RECNX/IMG_1.JPG"], "deployment_id/.../filename"),
    ],
)
def test_images_of_wildlife_insights_are_found_by_address_deployment_or_name(tmp_path, paths, taken):
    text = (
        HEADER
        + "D1,IMG_1.JPG,gs://b/deployment/1/img-1.JPG,0,,,fox\nD2,IMG_1.JPG,gs://b/deployment/1/img-2.JPG,0,,,hare\n"
    )
    labels, (note,) = match(tmp_path, text, paths)
    assert labels == dict(zip(paths, ("fox", "hare"), strict=True))
    assert f"path = {taken}, " in note


@pytest.mark.parametrize(
    ("text", "paths", "shared"),
    [
        (
            HEADER + "D1,1.JPG,,0,,,fox\nD1,2.JPG,,0,,,hare\n",
            ["D1/a/1.JPG", "D1/b/1.JPG", "D1/a/2.JPG", "D2/2.JPG"],
            r"'D1/1\.JPG' matches 2 images, such as D1/a/1\.JPG and D1/b/1\.JPG\.",
        ),
        (
            "path,label\n4.png,cat\n2.JPG,cat\n",
            ["S1/2.JPG", "S2/2.JPG", "S2/4.png"],
            r"'2\.JPG' matches 2 images, such as S1/2\.JPG and S2/2\.JPG\.",
        ),
    ],
)
def test_a_name_that_two_images_share_is_refused_although_others_match(tmp_path, text, paths, shared):
    with pytest.raises(DataError, match=shared):
        match(tmp_path, text, paths)


def test_a_path_from_further_up_matches_no_namesake_in_another_folder(tmp_path):
    labels, (note,) = match(tmp_path, "path,label\nall/S1/2.JPG,cat\nall/gone/1.jpg,dog\n", ["1.jpg", "S1/2.JPG"])
    assert labels == {"S1/2.JPG": "cat"}
    assert "; 1 rows match no image, first all/gone/1.jpg; " in note


def test_two_rows_that_match_one_image_are_refused_if_they_differ(tmp_path):
    with pytest.raises(DataError, match=r"1 images more than one label \(first S1/2\.JPG: cat, dog\)"):
        match(tmp_path, "path,label\na/S1/2.JPG,cat\nb/S1/2.JPG,dog\n")
    assert match(tmp_path, "path,label\na/S1/2.JPG,cat\nb/S1/2.JPG,cat\n")[0] == {"S1/2.JPG": "cat"}


def test_labels_of_other_images_are_refused_with_an_example_of_each(tmp_path):
    with pytest.raises(
        DataError, match=r"none of its 2 paths is among the 5 images found, first 'x/7\.jpg'.*'S1/1\.JPG'"
    ):
        match(tmp_path, "path,label\nx/7.jpg,cat\n8.jpg,dog\n")


def test_labels_files_beside_images_are_those_that_name_them(tmp_path):
    (tmp_path / "S1").mkdir()
    (tmp_path / "S1/1.jpg").write_bytes(b"x")
    texts = {
        "a.csv": "path,label\nC:\\x\\S1\\1.jpg,fox\n",
        "b.csv": "path,label\nS9/1.jpg,fox\n",
        "c.csv": "path,label,species\nS1/1.jpg,animal,fox\n",
        "Labels.csv": "path,label,species\nS1/1.jpg,animal,fox\n",
        "d.txt": "path,label\nS1/1.jpg,fox\n",
        "e.csv": "\x00\x01",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert find_label_files(str(tmp_path), {}) == ["Labels.csv", "a.csv"]
    assert find_label_files(str(tmp_path), {"label": "species", "path": "path"}) == ["Labels.csv", "c.csv"]


DEEP = "S2/cat/deep/4.png"


@pytest.mark.parametrize(
    ("two", "four"),
    [
        ("S1/2.JPG", DEEP),
        ("images/S1/2.JPG", f"images/{DEEP}"),
        ("C:/x/images/S1/2.JPG", f"C:/x/images/{DEEP}"),
        ("/x//images/S1/2.JPG", f"/x/images/{DEEP}"),
        ("2.JPG", "4.png"),
        ("2.JPG", "deep/4.png"),
    ],
)
def test_labels_may_be_written_from_here_from_further_up_or_down(two, four):
    known = {"1.jpg", "S1/2.JPG", "S1/cat/3.jpeg", DEEP}
    assert match_paths([two, four], known).images == {two: "S1/2.JPG", four: DEEP}
