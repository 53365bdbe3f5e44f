"""`irbis submit`: the commands that it sends, word for word."""

from __future__ import annotations

import pytest

from pipelines.cli import submit
from pipelines.cli.app import main
from pipelines.runs.backends.shared_workspace import job_script


@pytest.fixture
def sent(monkeypatch, tmp_path):
    """Return the requests that would be submitted."""
    requests = []
    monkeypatch.setattr(submit, "submit_job", lambda job, *_: requests.append(job) or 0)
    monkeypatch.setattr(submit.registry, "get_backend", lambda *_: type("Backend", (), {"validate": lambda *_: []})())
    monkeypatch.chdir(tmp_path)
    return requests


def test_explain_is_sent_with_the_options_that_choose_its_images(sent):
    chosen = ["--all", "--station", "S 1", "--label", "fox", "--since", "2024-06-01", "--not-reviewed"]
    main(["submit", "explain", *chosen, "--on", "yarn", "--set", "score.model_version=3"])
    main(["submit", "explain", "--on", "yarn", "--reviewed", "--until", "2024-06-02", "--station", "a"])
    first, second = sent
    assert first.words == ("explain", "--all", *chosen[1:])
    assert first.settings["score.model_version"] == "3"
    assert second.words == ("explain", "--station", "a", "--until", "2024-06-02", "--reviewed")


@pytest.mark.parametrize("words", [["score", "--all"], ["run", "--station", "S1"], ["explain", "--all", "--job", "x"]])
def test_other_commands_and_deployed_jobs_do_not_take_them(sent, words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["submit", *words, "--on", "databricks"])
    assert end.value.code == 2 and "is an option of `irbis submit explain`" in capsys.readouterr().err
    assert sent == []


def test_every_command_that_can_be_sent_has_a_job_file(sent):
    (what,) = [param for param in submit.submit.params if param.name == "what"]
    for name in what.type.choices:
        if name != "sweep":
            main(["submit", name, "--on", "yarn"])
    names = [job_script(job).stem for job in sent]
    assert names == ["ingest", "featurize", "train", "score", "report", "detect", "explain", "run"]
    assert all(
        f'main(["{name}", *sys.argv[1:]])' in job_script(job).read_text() for name, job in zip(names, sent, strict=True)
    )
