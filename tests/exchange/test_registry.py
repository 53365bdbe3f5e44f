"""A format is one file: nothing else has to know of it."""

from __future__ import annotations

import os
import re

import pytest

from pipelines.cli.app import main
from pipelines.errors import DataError, SettingsError
from pipelines.exchange import formats
from pipelines.exchange.export import export
from pipelines.exchange.formats.registry import all_formats, detect_format, get_format
from pipelines.exchange.imports import find_format, import_file

from .made import make_survey, write

TOY = """
from collections import Counter

import pandas as pd
from pyspark.sql import functions as F

from pipelines.exchange.formats.base import Exported, Format, Imported
from pipelines.exchange.rows import exported_label
from pipelines.spark.local_files import write_lines


def export(request):
    rows = request.rows.where(exported_label().isNotNull())
    lines = rows.select(F.concat_ws("!", "relative_path", exported_label()).alias("line"))
    path = request.folder / "toy.txt"
    count = write_lines(lines, path, header=request.title + "\\n")
    return Exported([path], Counter(images=count), Counter({"without a label": request.rows.count() - count}))


def matches(path):
    return path.suffix == ".toy"


def read(path, settings):
    rows = [line.split("!") for line in path.read_text().splitlines()]
    return Imported("Toy", pd.DataFrame(rows, columns=["path", "label"]))


FORMAT = Format("toy", "Toy", export, matches, read)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "toy_text.py").write_text(TOY)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "formats")])


def test_a_new_format_is_one_new_file(toy, tables, spark, make_settings, tmp_path):
    make_survey(tables)
    result = export(spark, make_settings(), "toy", tmp_path / "out")
    assert (tmp_path / "out" / "toy.txt").read_text(encoding="utf-8").splitlines() == [
        "2024",
        "S1/a.jpg!fox",
        "S1/b, é.jpg!fox",
        "S1/c.jpg!lynx",
        "S2/=d.jpg!blank",
    ]
    assert result.closing_lines()[0].startswith("export: 4 images written, 2 left out (2 without a label), ")
    file = write(tmp_path / "a.toy", "S1/a.jpg!wolf\n")
    assert import_file(spark, make_settings(), str(file)).outcomes == {"replacing that of the labels file or folder": 1}


def test_the_commands_print_what_they_did(tables, tmp_path, capsys):
    make_survey(tables)
    options = ["--workspace", tables.workspace]
    main(["export", "--to", "flat", "--station", "S1", "--reviewed", "--since", "2024-06-01", *options])
    target = f"{tables.workspace}/exports/flat/images"
    output = capsys.readouterr()
    assert re.fullmatch(rf"export: 1 images written, 0 left out, .* s; {target}.csv, {target}.parquet\n", output.out)
    assert "export: note: there is no champion: the predictions are those of irbis/1.\n" in output.err
    file = str(write(tmp_path / "labels.csv", "path,label\nS1/c.jpg,wolf\nx.jpg,fox\n"))
    main(["import", file, "--dry-run", *options])
    assert re.fullmatch(
        r"import: labels.csv \(labels file\): 1 image with a label, 1 path without an image\n"
        r"import: no image for x.jpg\n"
        r"import: labels: 1 replacing a person's decision\n"
        r"import: 1 decision would be stored, 0 labels left out, .* s\n",
        capsys.readouterr().out,
    )


def test_the_names_of_the_formats():
    assert {"flat", "label-studio", "timelapse", "wildlife-insights"} <= set(all_formats())
    assert list(all_formats()) == sorted(all_formats())
    with pytest.raises(SettingsError, match=r"There is no format excel. Known: .*flat, "):
        get_format("excel")


WI = "deployment_id,is_blank,genus,species,common_name,location,identified_by\n"
RESULTS = {
    "labels.csv": ("path,label\n", "flat"),
    "labels.tsv": ("file\tspecies\n", "flat"),
    "a.csv": ("File,RelativePath,Species\n", "timelapse"),
    "b.csv": (WI, "wildlife-insights"),
    "project-1.json": ('[{"id": 1, "annotations": [{"completed_by": 1}]}]', "label-studio"),
    "min.json": ('[{"image": "a.jpg", "choice": "fox", "annotator": 1}]', "label-studio"),
    "long.csv": ("path,label\n" + 'S1/a.jpg,"a\nb"\n' * 30_000, "flat"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_format_is_recognized_by_the_beginning_of_its_file(tmp_path, name):
    text, expected = RESULTS[name]
    assert detect_format(write(tmp_path / name, text)).name == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.docx", b"PK\x03\x04", r"a.docx is in no format that irbis reads. Name the format: --format .*flat or "),
        ("a.csv", b"PK\x03\x04", "is a workbook or a zip archive, not text"),
        ("a.csv", "é,label\n".encode("latin-1"), "is not in UTF-8: line 1"),
        ("a.json", b'{"unknown": 1}', "is in no format that irbis reads"),
        ("a.parquet", b"PAR1 cut", "a.parquet cannot be read as Parquet"),
        ("missing.csv", None, "there is no such file"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_format(tmp_path / name, "auto")


def test_a_pipe_is_refused_as_files_are_read_several_times(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(DataError, match=r"labels\.csv is no regular file"):
        find_format(tmp_path / "labels.csv", "auto")


@pytest.mark.parametrize("name", ["megadetector", "speciesnet", "coco", "label-studio"])
def test_a_folder_is_no_file_of_a_json_format(tmp_path, make_settings, name):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        get_format(name).read(tmp_path, make_settings())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "--to", "wildlife-insights"], "Wildlife Insights can only be imported: irbis import FILE --format"),
        (["export", "--to", "excel"], "There is no format excel. Known: "),
        (["import", "nothing.csv"], "nothing.csv: there is no such file."),
    ],
)
def test_the_command_refuses_before_spark_starts(capsys, monkeypatch, words, message):
    monkeypatch.setattr("pipelines.spark.session.get_session", lambda *_, **__: pytest.fail("Spark was started"))
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
