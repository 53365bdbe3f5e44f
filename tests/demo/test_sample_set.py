from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pipelines.demo.sample_set import SampleSet, render_sample_set
from pipelines.errors import DataError

SMALL = 60


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    return render_sample_set(tmp_path_factory.mktemp("samples") / "set", images=SMALL, seed=3)


def digests(sample_set: SampleSet) -> dict[str, str]:
    root = sample_set.images_folder
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def rows_of(sample_set: SampleSet) -> list[dict[str, str]]:
    with sample_set.labels_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def test_sixty_images_make_sixty_nine_files(small: SampleSet) -> None:
    assert len(digests(small)) == small.files == SMALL + 9


def test_counts_of_labels_are_those_of_the_csv(small: SampleSet) -> None:
    assert Counter(row["label"] for row in rows_of(small)) == small.labels
    assert set(small.labels) == {"blank", "fox", "hare", "ibex", "leopard"}
    assert small.unlabelled == 3


def test_every_labelled_path_exists_and_lies_in_its_station(small: SampleSet) -> None:
    for row in rows_of(small):
        assert (small.images_folder / row["path"]).is_file()
        assert row["path"].split("/")[0] == row["station"]


def test_two_contents_are_doubled_and_one_of_them_has_two_labels(small: SampleSet) -> None:
    labels = {row["path"]: row["label"] for row in rows_of(small)}
    by_content: dict[str, list[str]] = {}
    for path, digest in digests(small).items():
        by_content.setdefault(digest, []).append(path)
    doubled = sorted((len(paths), {labels[p] for p in paths}) for paths in by_content.values() if len(paths) > 1)
    assert [count for count, _ in doubled] == [2, 3]
    assert [found for _, found in doubled] == [{"fox", "hare"}, {"ibex"}]
    assert (small.copies, small.conflicting_hashes) == (2, 1)


def test_every_animal_has_a_box_within_its_image_and_blank_images_have_none(small: SampleSet) -> None:
    with small.boxes_csv.open(newline="") as file:
        boxes = list(csv.DictReader(file))
    labels = {row["path"]: row["label"] for row in rows_of(small)}
    assert len(boxes) == 36 and [row["path"] for row in boxes] == sorted({row["path"] for row in boxes})
    assert all(labels.get(row["path"], row["label"]) == row["label"] != "blank" for row in boxes)
    for row in boxes:
        x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + width <= 1.0001 and y + height <= 1.0001
        assert width > 0.05 and height > 0.1


def test_a_set_of_a_version_without_boxes_gets_them_and_no_image_is_drawn_again(small: SampleSet) -> None:
    boxes, times = small.boxes_csv.read_bytes(), {path.stat().st_mtime_ns for path in small.images_folder.rglob("*")}
    small.boxes_csv.unlink()
    render_sample_set(small.folder, images=SMALL, seed=3)
    assert small.boxes_csv.read_bytes() == boxes
    assert {path.stat().st_mtime_ns for path in small.images_folder.rglob("*")} == times


def test_exif_says_when_and_by_which_camera(small: SampleSet) -> None:
    path = next(iter(sorted(small.images_folder.rglob("S01/CAM01/IMG_0001.JPG"))))
    with Image.open(path) as image:
        exif = image.getexif()
    details = exif.get_ifd(0x8769)
    assert exif[0x010F] == "PAMIR OPTICS"
    assert details[0xA431] == "SN014711"
    assert details[0x9003].startswith("2024:")
    assert image.size == (640, 480)


def test_a_second_call_draws_nothing(small: SampleSet) -> None:
    drawn: list[int] = []
    again = render_sample_set(small.folder, images=SMALL, seed=3, progress=drawn.append)
    assert (again, drawn) == (small, [])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_render_is_completed_with_equal_bytes(small: SampleSet, workers: int) -> None:
    before, labels, boxes = digests(small), small.labels_csv.read_bytes(), small.boxes_csv.read_bytes()
    lost = [small.images_folder / path for path in list(before)[:: len(before) // 5]]
    (small.folder / ".unfinished").mkdir()
    (small.folder / "sample_set.json").rename(small.folder / ".unfinished" / "sample_set.json")
    for path in [*lost, small.labels_csv, small.boxes_csv]:
        path.unlink()
    done: list[int] = []
    render_sample_set(small.folder, images=SMALL, seed=3, workers=workers, progress=done.append)
    assert done == list(range(small.files - len(lost) + 1, small.files + 1))
    assert digests(small) == before
    assert small.labels_csv.read_bytes() == labels and small.boxes_csv.read_bytes() == boxes
    names = ["boxes.csv", "images", "labels.csv", "sample_set.json"]
    assert sorted(path.name for path in small.folder.iterdir()) == names


def test_another_seed_in_the_same_folder_is_refused_in_a_sentence(small: SampleSet) -> None:
    with pytest.raises(DataError, match=r"contains another sample set .*seed 3.*requested.*seed 4.*Delete it"):
        render_sample_set(small.folder, images=SMALL, seed=4)


def test_a_render_that_another_seed_began_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / ".unfinished" / "sample_set.json").write_text('{"renderer": 1, "seed": 9, "images": 60}')
    with pytest.raises(DataError, match="seed 9"):
        render_sample_set(tmp_path, images=SMALL, seed=3)


def test_a_folder_of_somebody_s_images_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match="not a sample set"):
        render_sample_set(tmp_path, images=SMALL)
    assert (tmp_path / "images" / "mine.jpg").read_bytes() == b"mine"


def test_a_file_in_the_folder_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("not a folder")
    with pytest.raises(DataError, match="set contains files that are not a sample set"):
        render_sample_set(tmp_path / "set", images=SMALL)


def test_a_negative_seed_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"-1\. Use 0 or a larger"):
        render_sample_set(tmp_path, images=SMALL, seed=-1)


def test_a_set_too_small_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 60"):
        render_sample_set(tmp_path, images=30)


def test_a_marker_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "sample_set.json").write_text("{")
    with pytest.raises(DataError, match=r"sample_set\.json cannot be read"):
        render_sample_set(tmp_path, images=SMALL)
