"""`irbis predict`: files and folders in, a line for each image out, whatever the files are called or hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.app import main
from pipelines.serving.pixels import PixelReader
from pipelines.stages.predict import predict, printable, table_lines
from pipelines.tracking.served_files import predictor_folder

from ..serving.models import LABELS, PHOTOS, write


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """Return a folder as `irbis export-model` writes it, with the served model irbis/3."""
    folder = tmp_path_factory.mktemp("exported")
    write(predictor_folder(folder / "model"), folder / "cache")
    return folder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with three images in a folder and in one below it, and files that are none."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name, photo in zip(("2.JPG", "1.jpg", "b/3.jpg"), PHOTOS):  # noqa: B905
        (folder / name).write_bytes(photo)
    (folder / "notes.txt").write_text("none")
    (folder / "broken.jpg").write_bytes(PHOTOS[0][:300])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, exported: Path, *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(["predict", "--model", str(exported), *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def rows_of(capsys, exported, *words):
    code, out, _ = run(capsys, exported, "--json", *words)
    return code, [json.loads(line) for line in out.splitlines()]


def test_a_folder_gives_a_row_for_each_of_its_images_in_order(photos, exported, capsys):
    code, rows = rows_of(capsys, exported, "photos")
    assert code == 0
    assert [row["image"] for row in rows] == [f"photos/{name}" for name in ("1.jpg", "2.JPG", "broken.jpg", "b/3.jpg")]
    assert [row["failure"] for row in rows] == [None, None, "truncated", None]
    assert list(rows[0]) == [
        *("image", "prediction", "score", "probabilities", "burst_prediction", "burst_score"),
        *("needs_review", "failure", "failure_detail", "model_version"),
    ]
    assert all(set(row["probabilities"]) == set(LABELS) for row in rows if not row["failure"])
    assert {row["model_version"] for row in rows} == {"3"} and rows[2]["needs_review"] is True


def test_files_and_folders_can_be_mixed_and_a_file_needs_no_suffix(photos, exported, capsys):
    (photos / "photos" / "notes.txt").write_bytes(PHOTOS[1])
    code, rows = rows_of(capsys, exported, "photos/notes.txt", "photos/b", "photos/1.jpg")
    assert code == 0
    assert [row["image"] for row in rows] == ["photos/notes.txt", "photos/b/3.jpg", "photos/1.jpg"]
    assert rows[0]["score"] == rows[2]["score"] != rows[1]["score"]  # notes.txt and 1.jpg are the same image


def test_the_table_is_aligned_and_notes_and_counts_go_to_stderr(photos, exported, capsys):
    code, out, err = run(capsys, exported, "photos")
    header, *lines = out.splitlines()
    assert code == 0 and len(lines) == 4
    assert header == f"{'image':17}  {'prediction'}    score"
    for line, name in zip(lines, ("1.jpg", "2.JPG", "broken.jpg", "b/3.jpg"), strict=True):
        assert line.startswith(f"{f'photos/{name}':17}  ")
    assert lines[2][19:].split()[:3] == ["-", "-", "truncated"]
    assert lines[0][19:].split()[0] in LABELS
    assert "predict: note: photos: skipped 1 of 5 files: 1 metadata or text file (txt)." in err
    assert "predict: irbis/3, 4 read, 1 failed (1 truncated), " in err


def test_if_no_image_can_be_read_the_exit_code_says_so(photos, exported, capsys):
    code, rows = rows_of(capsys, exported, "photos/broken.jpg", "photos/notes.txt")
    assert code == 1 and [row["failure"] for row in rows] == ["truncated", "not_an_image"]


def test_what_does_not_exist_is_refused_before_the_model_is_loaded(photos, exported, capsys):
    code, out, err = run(capsys, exported / "none", "photos")
    assert (code, out) == (2, "") and "does not exist" in err
    code, out, err = run(capsys, exported, "photo", "photos/1.jpg", "https://example.org/a.jpg")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "irbis: photo does not exist. Give files or folders on this machine.",
        "irbis: https://example.org/a.jpg does not exist. Give files or folders on this machine.",
    ]
    (photos / "empty").mkdir()
    code, out, err = run(capsys, exported, "empty")
    assert (code, out) == (2, "") and err.startswith("irbis: There are no images in what was named.")


def test_the_mlflow_model_in_the_folder_will_do_too(photos, exported, capsys):
    by_folder, by_model = (rows_of(capsys, path, "photos") for path in (exported, exported / "model"))
    assert by_folder == by_model and by_folder[0] == 0


def test_a_folder_without_a_model_is_refused(photos, exported, capsys):
    code, out, err = run(capsys, photos, "photos")
    assert (code, out) == (2, "")
    assert "holds no served model: model.json is missing. Write one: `irbis export-model DIR`." in err


@pytest.mark.parametrize(
    "name",
    [
        "\x1b]0;owned\x07.jpg",
        "two\nlines\t.jpg",
        "\u202egpj.exe.jpg",
        "100% #1?.jpg",
        " leading and trailing ",
        "%41.jpg",
        "-n.jpg",
        "@file",
    ],
)
def test_a_name_is_read_as_it_is_and_printed_without_what_moves_the_cursor(name, photos, exported, capsys):
    (photos / name).write_bytes(PHOTOS[0])
    words = ["--", name] if name.startswith("-") else [name]
    code, rows = rows_of(capsys, exported, *words)
    assert code == 0 and rows[0]["image"] == name and not rows[0]["failure"]
    code, out, _ = run(capsys, exported, *words)
    assert code == 0 and out.count("\n") == 2 and all(char.isprintable() for char in out.replace("\n", ""))
    code, out, _ = run(capsys, exported, "--json", *words)
    assert out.isascii() and out.count("\n") == 1


def test_a_file_that_is_called_like_the_base64_of_an_image_is_read(photos, exported, capsys):
    """9j/4AAQ is how the base64 of every JPEG goes on after its first slash."""
    (photos / "9j").mkdir()
    (photos / "9j" / "4AAQSkZJRgABAQ").write_bytes(PHOTOS[0])
    code, rows = rows_of(capsys, exported, "9j/4AAQSkZJRgABAQ")
    assert code == 0 and not rows[0]["failure"]


def test_a_name_of_no_encoding_is_predicted_too(photos, exported, capsys):
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / name).write_bytes(PHOTOS[0])
    code, rows = rows_of(capsys, exported, name)
    assert code == 0 and (rows[0]["image"], rows[0]["failure"]) == (name, None)
    code, out, _ = run(capsys, exported, name)
    assert code == 0 and out.splitlines()[1].startswith(r"caf\udce9.jpg  ")


def test_a_pipe_and_an_unreadable_file_are_rows(photos, exported, capsys):
    os.mkfifo(photos / "pipe.jpg")
    code, rows = rows_of(capsys, exported, "pipe.jpg", "photos/1.jpg")
    assert code == 0 and [row["failure"] for row in rows] == ["not_an_image", None]


@pytest.mark.process
def test_many_images_are_decoded_in_child_processes_with_the_same_results(photos, exported, capsys, monkeypatch):
    for i, photo in enumerate(PHOTOS):
        (photos / "photos" / "b" / f"{i}.jpg").write_bytes(photo)
    monkeypatch.setattr(PixelReader, "__call__", lambda self, content: pytest.fail("decoded in this process"))
    code, rows = rows_of(capsys, exported, "photos/b", "photos/broken.jpg")
    monkeypatch.undo()
    assert code == 0 and [row["failure"] for row in rows] == [None] * 12 + ["truncated"]
    monkeypatch.chdir(photos)
    _, (first, *_) = rows_of(capsys, exported, "photos/b/0.jpg")
    assert rows[0] == {**first, "probabilities": pytest.approx(first["probabilities"], abs=1e-6)} | {
        key: pytest.approx(first[key], abs=1e-6) for key in ("score", "burst_score")
    }


@pytest.mark.process
def test_the_command_imports_neither_spark_nor_mlflow_nor_torch(photos, exported):
    """Each takes a second or more, of the three until the first answer."""
    program = """
import sys
from pipelines.cli.app import main
main(sys.argv[1:])
print(*{name.partition(".")[0] for name in sys.modules})
"""
    words = ["predict", "--model", str(exported), "photos/1.jpg"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "openvino" in loaded
    assert not {"pyspark", "py4j", "delta", "mlflow", "torch", "pandas", "scipy", "sklearn", "matplotlib"} & loaded


def test_the_first_answers_do_not_wait_for_all_images():
    class Asked:
        sizes: list[int] = []  # noqa: RUF012

        def predict(self, uris):
            self.sizes.append(len(uris))
            return [None] * len(uris)

    rows = predict([f"{i}.jpg" for i in range(200)], Asked())  # type: ignore[arg-type]
    next(rows)
    assert Asked.sizes == [8]
    assert len(list(rows)) == 199 and Asked.sizes == [8, 64, 64, 64]


def test_long_names_do_not_push_the_columns_of_others_away():
    assert next(table_lines([], ["a" * 300], ["fox"])).index("prediction") == 62
    assert printable("a\x00é雪\u200b") == r"a\x00é雪\u200b"
