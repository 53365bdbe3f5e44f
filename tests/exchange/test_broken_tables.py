"""Tables that people and programs have broken: a clear error, or the right labels; never half an import."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.exchange.imports import import_file

from .made import labels_of, write

BROKEN = {
    b"path,label\nS1/a.jpg,fox\nS1/a.jpg,hare\n": "more than one label .first S1/a.jpg: fox, hare.",
    b"path,label\nX/1.jpg,fox\n": "none of its 1 paths is among the 6 images",
    b"path,label\nS1/a.jpg,Fox\n": "Labels differ only in upper and lower case: 'Fox' .1 images.* and 'fox'",
    "path,label\nS1/a.jpg,fuchs\nS1/é.jpg,x\n".encode("latin-1"): "is not in UTF-8: line 3",
    b"path,kind\nS1/a.jpg,fox\n": "has no column label, only path, kind",
    b"": "is empty",
    b"path,label\nS1/a.jpg,fox,2\n": "rows with more values than its header",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": "labels.csv",
}
RIGHT = {
    "BOM and NA": "\ufeffpath,label\nS1/c.jpg,NA\nS1/a.jpg,wolf\n",
    "semicolons and backslashes": "path;label\nS1\\a.jpg;wolf\n",
    "Windows paths": 'path,label\n"C:\\survey\\2024\\S1\\a.jpg",wolf\n',
    "climbing paths, unknown columns": "path,label,unheard_of\n../../S1/a.jpg,wolf,1\n",
    "duplicates": "path,label\nS1/a.jpg,wolf\nS1/a.jpg,wolf\n",
    "invisible characters": "path,label\nS1/a.jpg, wo\u200blf \n",
}


def test_a_broken_table_changes_nothing_and_an_awkward_one_is_read(survey, spark, make_settings, tmp_path):
    file = tmp_path / "labels.csv"
    for content, message in BROKEN.items():
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            import_file(spark, make_settings(), str(file))
    assert survey.read("labels").count() == 1
    for name, text in RIGHT.items():
        result = import_file(spark, make_settings(), str(write(file, text)), is_dry_run=True)
        assert result.outcomes == {"replacing that of the labels file or folder": 1}, name
    # As Excel saves our own file, in a country with another form of dates.
    own = "path;label;label_source;is_unknown;final_label;captured_at;reviewed_at\n"
    text = own + "S1/a.jpg;wolf;source;FALSCH;fox;01.06.2024 12:00;01.06.2024 12:00\n"
    result = import_file(spark, make_settings(), str(write(file, text)), is_dry_run=True)
    assert result.outcomes == {"replacing that of the labels file or folder": 1}
    assert "1 times in reviewed_at cannot be used, first '01.06.2024 12:00'" in result.notes[0]
    # None is a label, as in a table for training; leading zeros stay.
    import_file(spark, make_settings(), str(write(file, "path,label\nS1/a.jpg,None\nS1/c.jpg,007\n")))
    assert labels_of(survey) == {"S1/a.jpg": "None", "S1/c.jpg": "007"}
