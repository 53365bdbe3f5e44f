"""`irbis detect` refuses a file that cannot be a detector before Spark starts."""

from __future__ import annotations

import pytest

from pipelines.cli.app import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "No detector is set. Give its ONNX or OpenVINO file: irbis detect --detector FILE."),
        (["--detector", "none.onnx"], "detect.detector = none.onnx: there is no such file on this machine."),
        (["--detector", "md_v5a.pt"], "an ONNX file (.onnx) or an OpenVINO model (.xml) was expected."),
        (["--set", "detect.output=yolov5"], "detect.output"),
        (["--set", "detect.categories.dog=pet"], "detect.categories"),
    ],
)
def test_it_ends_with_what_to_do(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.spark.session.get_session", lambda *_, **__: pytest.fail("Spark was started"))
    with pytest.raises(SystemExit) as end:
        main(["detect", *words, "--workspace", str(tmp_path / "w")])
    assert end.value.code == 2 and message in capsys.readouterr().err
