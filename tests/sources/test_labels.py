"""Labels files as people and programs write them."""

from __future__ import annotations

import unicodedata

import pandas as pd
import pytest

from pipelines.errors import DataError
from pipelines.sources.labels import normalize_path, read_label_table, read_labels
from tests.sources.labels_file import read, refused, rows

CAT = [{"path": "a/1.jpg", "label": "cat"}]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na/1.jpg,cat\n",
        "path,label\r\na/1.jpg,cat\r\n",
        "path,label\ra/1.jpg,cat\r",
        "\ufeffpath,label\na/1.jpg,cat\n",
        '\ufeff"path";"label"\r\n"a/1.jpg";"cat"\r\n',
        "path\tlabel\na/1.jpg\tcat",
        "PATH, Label \n a/1.jpg , cat \n",
        "file_name,species\na\\1.jpg,cat\n",
        "path,label\n.\\a\\1.jpg,cat\n",
        "path,label\n./a/1.jpg,cat\n",
        "path,label\na/1.jpg,cat\na/1.jpg,cat\n\n",
        "path,label\na/1.jpg,cat\n,dog\n",
        "path,label\na/1.jpg,cat,\n",
        "n,note,label,path\n7,x,cat,a/1.jpg\n8,y,cat,a/1.jpg\n",
        "path\tlabel\r\na/1.jpg\tcat\r\n".encode("utf-16"),  # Excel's "Unicode text"
        "path,label\na/1.jpg,cat\n".encode("utf-16-le"),
        "sep=;\r\npath;label\r\na/1.jpg;cat\r\n",
        "\ufeffsep=|\npath|label\na/1.jpg|cat\n",
        "\n , \n\npath,label\na/1.jpg,cat\n",
        '"path";"label, as agreed";"label";"by a, b, c or d"\na/1.jpg;x;cat;a\n',
        "path;label;notes (of a, b, c, d)\na/1.jpg;cat;x\n",
        '"","path","label"\n"1","a/1.jpg","cat"\n',  # R's row names
        "path\u200b,\u00a0Label\u00a0,,\na/1.jpg,cat,,\n",
        "File Name,species\na/1.jpg,cat\n",
        "file.name;species\na/1.jpg;cat\n",
    ],
)
def test_a_table_is_read_whatever_program_wrote_it(tmp_path, text):
    assert read(tmp_path, text) == CAT


def test_labels_that_look_like_something_else_stay_text(tmp_path):
    text = "path,label\n" + "".join(f"{n}.jpg,{label}\n" for n, label in enumerate(WORDS))
    assert [row["label"] for row in read(tmp_path, text)] == WORDS


WORDS = ["None", "none", "1", "01", "1.0", "1e3", "True", "-", "inf", "2014-07-01", "Äffchen", "a b"]


def test_a_missing_value_of_another_program_is_no_label_and_is_counted(tmp_path):
    text = "path,label,station,camera,seq_id\n1.jpg,NA,NA,nan,NULL\n2.jpg,#N/A,S1,c1,7\n3.jpg,fox,n/a,c1,<NA>\n"
    (tmp_path / "labels.csv").write_text(text)
    table = read_label_table(str(tmp_path / "labels.csv"))
    assert [list(row.values()) for row in rows(table.rows)] == [
        ["1.jpg", None, None, None, None],
        ["2.jpg", None, "S1", "c1", "7"],
        ["3.jpg", "fox", None, "c1", None],
    ]
    assert table.notes == ("labels.csv: 2 rows with the label 'NA' are treated as unlabelled.",)


@pytest.mark.parametrize("word", ["0", "-1", "none"])
def test_a_sequence_id_that_means_none_is_no_sequence(tmp_path, word):
    (tmp_path / "labels.csv").write_text(f"path,label,seq_id\n1.jpg,a,{word}\n2.jpg,a,{word}\n3.jpg,a,7\n4.jpg,a,8\n")
    table = read_label_table(str(tmp_path / "labels.csv"))
    assert [row["sequence"] for row in rows(table.rows)] == [None, None, "7", "8"]
    (note,) = table.notes
    assert note.startswith(f"labels.csv: 2 rows have '{word}' in seq_id, which is the same for many images")


@pytest.mark.parametrize("word", ["Unknown", "none", "?", "-"])
@pytest.mark.parametrize("column", ["station", "camera"])
def test_a_station_or_camera_that_is_not_known_is_none(tmp_path, column, word):
    (tmp_path / "labels.csv").write_text(f"path,label,{column}\n1.jpg,cat,{word}\n2.jpg,cat,{word}\n3.jpg,{word},0\n")
    table = read_label_table(str(tmp_path / "labels.csv"))
    assert [row[column] for row in rows(table.rows)] == [None, None, "0"]
    assert list(table.rows["label"]) == ["cat", "cat", word]
    assert table.notes == (f"labels.csv: 2 rows with the {column} {word!r} are treated as rows without a {column}.",)


@pytest.mark.parametrize("word", ["#NAME?", "#REF!", "#VALUE!", "#DIV/0!"])
def test_an_error_of_a_spreadsheet_is_no_label(tmp_path, word):
    assert read(tmp_path, f"path,label\n1.jpg,{word}\n") == [{"path": "1.jpg", "label": None}]


def test_one_sequence_id_for_all_images_is_no_sequence(tmp_path):
    text = "path,label,seq_id\n1.jpg,a,x\n2.jpg,a,x\n3.jpg,a,\n"
    assert [row["sequence"] for row in read(tmp_path, text)] == [None, None, None]
    assert [row["sequence"] for row in read(tmp_path, "path,label,seq_id\n1.jpg,a,x\n2.jpg,a,\n")] == ["x", None]


def test_the_same_species_twice_is_one_row_and_what_a_row_lacks_is_in_the_other(tmp_path):
    text = "path,species,age,station\n1.jpg,fox,adult,S1\n1.jpg,fox,cub,S1\n2.jpg,,,S2\n2.jpg,hare,,\n"
    assert read(tmp_path, text) == [
        {"path": "1.jpg", "label": "fox", "station": "S1"},
        {"path": "2.jpg", "label": "hare", "station": "S2"},
    ]


def test_contradicting_values_are_refused_by_column_with_a_count_and_examples(tmp_path):
    text = "path,label,station,datetime\n" + "".join(
        f"{n}.jpg,{label},S{station},2024-05-0{station} 10:00:00\n"
        for n, label, station in ((1, "fox", 1), (1, "hare", 1), (2, "fox", 1), (2, "fox", 2), (3, "a", 1), (3, "b", 1))
    )
    faults = refused(tmp_path, text)
    assert [fault.removeprefix(f"{tmp_path}/labels.csv gives ").partition(". ")[0] for fault in faults] == [
        "2 images more than one label (first 1.jpg: fox, hare; 3.jpg: a, b)",
        "1 images more than one station (first 2.jpg: S1, S2)",
        "1 images more than one captured_at (first 2.jpg: 2024-05-01 10:00:00+00:00, 2024-05-02 10:00:00+00:00)",
    ]


def test_an_empty_label_is_null(tmp_path):
    assert read(tmp_path, "path,label,station\n1.jpg,,S1\n2.jpg,  ,\n3.jpg\n") == [
        {"path": "1.jpg", "label": None, "station": "S1"},
        {"path": "2.jpg", "label": None, "station": None},
        {"path": "3.jpg", "label": None, "station": None},
    ]


def test_a_table_without_rows_has_its_columns(tmp_path):
    assert read(tmp_path, "path,label,datetime\n") == []
    assert list(read_labels(str(tmp_path / "labels.csv"))) == ["path", "label", "captured_at"]


def test_all_faults_of_a_file_are_reported_at_once(tmp_path):
    faults = refused(tmp_path, "path,label,datetime\na/1.jpg,cat,noon\na\\1.jpg,dog,noon\n2.jpg,cat,\n")
    assert [value in fault for value, fault in zip(("'noon'", "a/1.jpg: cat, dog"), faults, strict=True)] == [True] * 2


def test_missing_columns_are_named_with_the_names_that_are_understood(tmp_path):
    (fault,) = refused(tmp_path, "photo,kind\n1.jpg,cat\n")
    assert "has no column path and no column label, only photo, kind." in fault
    assert "path | file_name |" in fault
    assert "label | class |" in fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\na,1.jpg,cat\n", "has rows with more values than its header has names. Put values with a comma"),
        ("path,label\n1.jpg,cat\na,2.jpg,cat\n", "Expected 2 fields in line 3, saw 3"),
        ('path,label\n"1.jpg,cat\n', "EOF inside string"),
        (
            "path,label\n1.jpg,M\xe1laga\n".encode("latin-1"),
            "is not in UTF-8: line 2 has the byte 0xe1 (read as Windows-1252: '1.jpg,Málaga'). Save it as 'CSV UTF-8'",
        ),
        ("", "is empty. Give a file with columns path and label"),
        ("\n \n;;\n", "is empty"),
        (b"PK\x03\x04...", "is a workbook or a zip archive, not text. In Excel or LibreOffice, save the sheet as 'CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1...", "is an Excel workbook, not text. Save the sheet as 'CSV UTF-8'"),
        (b'{"images": []}', "is JSON, but not COCO Camera Traps"),
        (b'[{"file": "1.jpg"}]', "is JSON, but not COCO Camera Traps"),
        (b"\x1f\x8b\x08\x00...", "is compressed (gzip). Unpack it first"),
    ],
)
def test_a_table_that_is_broken_is_refused_with_its_reason(tmp_path, text, reason):
    assert reason in refused(tmp_path, text)[0]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"sources\.labels = .*gone\.csv: there is no such file"):
        read_labels(str(tmp_path / "gone.csv"))
    with pytest.raises(DataError, match=r"is a folder\. Give the labels file in it"):
        read_labels(str(tmp_path))


def test_parquet_means_the_same_as_csv(tmp_path):
    table = pd.DataFrame(
        {
            "file_name": ["a\\1.jpg", "2.jpg", "3.jpg"],
            "label": pd.array([1, 2, None], dtype="Int64"),
            "station": pd.Categorical(["S1", None, "S1"]),
            "datetime": pd.to_datetime(["2014-07-01 15:22:09.000", None, "2014-07-01 15:22:09.500"]),
            "boxes": [[1, 2], [], None],
        }
    )
    table.to_parquet(tmp_path / "labels.parquet")
    expected = [
        ["a/1.jpg", "1", "S1", pd.Timestamp("2014-07-01 15:22:09", tz="UTC")],
        ["2.jpg", "2", None, None],
        ["3.jpg", None, "S1", pd.Timestamp("2014-07-01 15:22:09.5", tz="UTC")],
    ]
    assert [list(row.values()) for row in rows(read_labels(str(tmp_path / "labels.parquet")))] == expected
    table.set_index("file_name").to_parquet(tmp_path / "indexed.parquet")
    assert [row["path"] for row in rows(read_labels(str(tmp_path / "indexed.parquet")))] == [
        "a/1.jpg",
        "2.jpg",
        "3.jpg",
    ]


def test_a_folder_of_parquet_files_is_read_as_spark_writes_it(tmp_path):
    folder = tmp_path / "labels.parquet"
    folder.mkdir()
    (folder / "_SUCCESS").write_bytes(b"")
    for n in (1, 2):
        pd.DataFrame({"path": [f"{n}.jpg"], "label": ["cat"]}).to_parquet(folder / f"part-{n}.snappy.parquet")
    assert sorted(row["path"] for row in rows(read_labels(str(folder)))) == ["1.jpg", "2.jpg"]


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    assert "cannot be read as a table" in refused(tmp_path, "path,label\n", "labels.parquet")[0]


def test_folder_and_name_of_timelapse_are_one_path(tmp_path):
    text = "File,RelativePath,DateTime,Species\n1.jpg,S1\\100RECNX,2014-07-01 15:22:09,paca\n2.jpg,,,\n"
    assert [(row["path"], row["label"]) for row in read(tmp_path, text)] == [
        ("S1/100RECNX/1.jpg", "paca"),
        ("2.jpg", None),
    ]


def test_paths_and_labels_are_compared_with_composed_characters(tmp_path):
    decomposed = unicodedata.normalize("NFD", "é")
    assert normalize_path(f".\\{decomposed}\\1.jpg") == "é/1.jpg"
    assert read(tmp_path, f"path,label\n{decomposed}.jpg,{decomposed}\n") == [{"path": "é.jpg", "label": "é"}]


def test_labels_of_a_real_camera_trap_set_are_read(shared_data):
    table = read_labels(str(shared_data / "cameratrap_peru_sdzg/labels.csv"))
    assert table.shape == (111, 6)
    assert table["label"].value_counts().to_dict() == {"blank": 63, "animal": 36, "human_setup": 6, "unsure": 6}
    assert table["sequence"].nunique() == 37
    assert table["captured_at"].min() == pd.Timestamp("2014-07-01 15:21:15", tz="UTC")
