"""The command `irbis` itself: what it costs before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipelines.cli import app

HEAVY = {"azure", "delta", "databricks", "mlflow", "numpy", "pandas", "PIL", "pyarrow", "pyspark", "sklearn", "torch"}


@pytest.mark.process
def test_the_command_knows_what_is_asked_before_it_loads_what_does_it():
    code = "import sys, pipelines.cli.app; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "click" in loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("words", [["config"], ["config", "--verbose"]])
def test_an_error_that_nobody_expected_is_two_lines_and_the_traceback_on_request(monkeypatch, capsys, words):
    def fail(*_: object, **__: object) -> None:
        error = RuntimeError("o1.save\n\tat x.Y(Z.java:1)\nCaused by: java.io.IOException: Stale file handle\n\tat x")
        error.record = "w/runs/run-1/run.log" if words == ["config"] else ""  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(app.irbis, "main", fail)
    with pytest.raises(SystemExit) as leaving:
        app.main(words)
    said = capsys.readouterr().err.splitlines()
    assert leaving.value.code == 1
    where = "is in w/runs/run-1/run.log" if words == ["config"] else "is shown by --verbose"
    assert said[-2:] == [
        "irbis: java.io.IOException: Stale file handle",
        f"irbis: Unexpected error. The full traceback {where}.",
    ]
    assert (said[0] == "Traceback (most recent call last):") == ("--verbose" in words)
    assert len(said) == 2 or "--verbose" in words


@pytest.mark.process
def test_output_in_another_encoding_is_escaped(monkeypatch):
    code = "from pipelines.cli.app import streams; streams.open_streams(); print('Ärger')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "\\xc4rger\n"


def test_control_characters_in_names_are_printed_as_their_escapes(capsys):
    with pytest.raises(SystemExit):
        app.main(["notebook", "run", "\x1b]0;owned\x07\x9b31m.ipynb"])
    said = capsys.readouterr().err
    assert said.startswith(r"irbis: There is no notebook \x1b]0;owned\x07\x9b31m.ipynb. Known: ")


def test_what_lays_out_text_and_letters_of_all_scripts_stay(capsys):
    with app.streams.escape_control_characters():
        print("a\tb\r\nÄ 雪 \x7f")
        print("\x1b[1A", file=sys.stderr)
    assert capsys.readouterr() == ("a\tb\r\nÄ 雪 \\x7f\n", "\\x1b[1A\n")
