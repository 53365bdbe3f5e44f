"""The guides to deployment name files, commands, settings and sizes that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.cli.app import irbis
from pipelines.config.loader import setting_keys

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["choose", "laptop", "gpu-vm", "databricks", "hdinsight", "spark", "kubernetes"]
PAGES = {name: (ROOT / f"docs/deploy/{name}.md").read_text(encoding="utf-8") for name in NAMES}
pages = pytest.mark.parametrize("name", NAMES)


def test_the_page_that_compares_backends_and_the_readme_link_to_every_page_and_each_ends_with_cleaning_up():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in NAMES:
        assert f"](docs/deploy/{name}.md)" in readme, name
        assert name == "choose" or f"]({name}.md)" in PAGES["choose"], name
        assert re.findall(r"^## (.*)$", PAGES[name], re.MULTILINE)[-1] == "Clean up", name


@pages
def test_every_file_of_the_repository_that_is_named_is_there(name):
    before = r"(?<![\w/.-])(?:irbis/|\$PWD/|\.\./\.\./)?"
    named = re.findall(rf"{before}((?:deploy|requirements|conf|jobs)/[\w./-]*\w)", PAGES[name])
    assert named or name in ("laptop", "gpu-vm")
    for path in named:
        assert (ROOT / path).exists(), path


@pages
def test_every_command_of_irbis_and_every_setting_is_known(name):
    code = "\n".join(line for line in PAGES[name].splitlines() if line.startswith("    "))
    for command in re.findall(r"^    (?:IRBIS_\w+=\S+ )?irbis (\w+)", code, re.MULTILINE):
        assert command in irbis.commands
    known = set(setting_keys())
    for key in re.findall(r"--set (\w+\.\w+)", code):
        assert key in known or key.startswith("hdinsight."), key


@pages
def test_every_variable_and_target_of_the_machines_script_is_one_that_it_takes(name):
    script = (ROOT / "deploy/azure/azure.sh").read_text(encoding="utf-8")
    for line in re.findall(r"make azure-up (.*?)(?:\s#|`|$)", PAGES[name], re.MULTILINE):
        for variable, value in re.findall(r"(\w+)=(\S+)", line):
            assert variable == "TARGET" or re.search(rf"\$\{{?{variable}\b", script), variable
            assert variable != "TARGET" or value in ("vm", "databricks", "hdinsight")


def test_sizes_follow_the_rule_that_the_page_gives():
    rows = re.findall(
        r"^\| (Standard_\w+) \| ([\d,]+) MB \| (\d+) \| (\d+)g \| (\d+)g \| (\d+) \|$", PAGES["hdinsight"], re.M
    )
    assert len(rows) == 2
    for _, given, cores, heap, beside, fitting in rows:
        assert int(heap) == 2 * int(cores) and int(beside) == 3.5 * int(cores)
        assert int(given.replace(",", "")) // ((int(heap) + int(beside)) * 1024) == int(fitting)


def test_no_page_and_no_file_of_deploy_holds_a_secret():
    for path in [*(ROOT / "docs").rglob("*.md"), *(each for each in (ROOT / "deploy").rglob("*") if each.is_file())]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"AccountKey=\w|sig=[A-Za-z0-9%]{20}|BEGIN [A-Z ]*PRIVATE KEY|ssh-(rsa|ed25519) AAAA", text
        ), path
