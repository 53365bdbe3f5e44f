"""README, Makefile, jobs, conf and the command say the same."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from pipelines.cli.app import STAGES, irbis
from pipelines.config.loader import setting_keys
from pipelines.config.overrides import SETTING_OPTIONS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_command_and_no_other():
    listed = re.findall(r"^\| `irbis (\w+)` \|", README, re.MULTILINE)
    assert sorted(listed) == sorted(irbis.commands)


def test_the_readme_names_every_option_of_the_stages():
    options = {word for command in STAGES for param in irbis.commands[command].params for word in param.opts}
    assert options == {f"--{name}" for name in (*SETTING_OPTIONS, "compare-splits", "env", "set", "verbose", "watch")}
    assert all(option in README for option in options)


def test_there_is_a_job_for_every_stage_for_all_for_sweeps_and_for_clean_that_runs_just_that():
    jobs = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "jobs").glob("*.py")}
    assert sorted(jobs) == sorted((*STAGES, "run", "sweep", "clean"))
    assert all(f'main(["{name}", *sys.argv[1:]])' in text for name, text in jobs.items())


def test_every_setting_in_readme_and_conf_is_known():
    known = set(setting_keys())
    assert set(re.findall(r"--set (\w+\.\w+)=", README)) <= known
    for path in (ROOT / "conf").glob("*.yaml"):
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = {f"{a}.{b}" for a, section in tree.items() if isinstance(section, dict) for b in section}
        assert found <= known, path.name


def test_make_alone_lists_the_targets_that_the_readme_uses():
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^\s*make ([\w-]+)", listed, re.MULTILINE))
    azure = {"azure-up", "azure-stop", "azure-down"}
    clusters = {"test-clusters", "yarn-livy"}
    assert (
        targets
        == {"demo", "test", "slow", "kills", "check", "audit", "bench", "lock", "build", "clean"} | azure | clusters
    )
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        assert set(re.findall(r"^    make ([\w-]+)", _text(page), re.MULTILINE)) <= targets, page.name


def test_every_file_that_a_page_links_to_is_there():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_house_rules_of_length_hold():
    import ast

    for path in (ROOT / "pipelines").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 250, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.name}"


def test_the_page_on_databricks_names_the_bundles_jobs_variables_and_the_commands_of_the_golden_files():
    page = (ROOT / "docs" / "deploy" / "databricks.md").read_text(encoding="utf-8")
    bundle = yaml.safe_load((ROOT / "deploy" / "databricks" / "databricks.yml").read_text(encoding="utf-8"))
    jobs = re.findall(r"^    (\w+):$", "".join(map(_text, (ROOT / "deploy/databricks/resources").glob("*.yml"))), re.M)
    assert set(re.findall(r"^\| (\w+) \|", page, re.MULTILINE)) - {"job"} == set(jobs)
    assert set(re.findall(r"bundle run (\w+)", page)) <= set(jobs)
    assert set(re.findall(r"(?:BUNDLE_VAR_|--var '?)(\w+)=", page)) <= set(bundle["variables"])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
