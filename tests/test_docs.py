"""README, the pages below docs/, Makefile, jobs, conf and the command agree with each other."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from pipelines.cli.app import STAGES, irbis
from pipelines.config.loader import setting_keys
from pipelines.config.overrides import SETTING_OPTIONS
from pipelines.config.settings import ENV_PREFIX

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOR_USERS = [README, *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md")]
KEYS = set(setting_keys())
FILES = {"csv", "html", "json", "md", "py", "sh", "yaml", "yml"}  # `databricks.yml` is a file, not a setting
AZURE, CLUSTERS = {"azure-up", "azure-stop", "azure-down"}, {"test-clusters", "yarn-livy"}
TESTS = {"unit", "test", "test-full", "slow", "kills", "test-exchange", "check", "audit"} | CLUSTERS
UNLISTED = {"azurite", "azure-models", "azure-ml"}  # `make` alone does not list them
TARGETS = TESTS | AZURE | {"demo", "full", "bench", "lock", "build", "docs", "graphs", "clean"}


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch):
    """Return the module docs/generate.py."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("generate")


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=page_name)


def test_the_readme_has_at_most_90_lines():
    assert README.read_text(encoding="utf-8").count("\n") <= 90


def test_every_command_is_named_in_the_readme_or_the_reference():
    text = _text(README) + _text(REFERENCE / "cli.md")
    assert set(re.findall(r"\birbis ([a-z][a-z-]*)", text)) >= set(irbis.commands)


def test_every_option_of_the_stages_is_named_in_the_readme_or_the_reference():
    options = {word for command in STAGES for param in irbis.commands[command].params for word in param.opts}
    assert options == {f"--{name}" for name in (*SETTING_OPTIONS, "compare-splits", "env", "set", "verbose", "watch")}
    assert options <= set(re.findall(r"--[\w-]+", _text(README) + _text(REFERENCE / "cli.md")))


def test_there_is_a_job_for_every_stage_for_all_for_sweeps_and_for_clean_that_runs_just_that():
    jobs = {path.stem: _text(path) for path in (ROOT / "jobs").glob("*.py")}
    assert sorted(jobs) == sorted((*STAGES, "detect", "explain", "run", "sweep", "clean"))
    assert all(f'main(["{name}", *sys.argv[1:]])' in text for name, text in jobs.items())


def test_every_setting_in_conf_is_known():
    for path in (ROOT / "conf").glob("*.yaml"):
        tree = yaml.safe_load(_text(path)) or {}
        found = {f"{a}.{b}" for a, section in tree.items() if isinstance(section, dict) for b in section}
        assert found <= KEYS, path.name


def test_the_reference_is_what_make_docs_writes(generate):
    pages = generate.pages()
    assert sorted(pages) == sorted(path.name for path in REFERENCE.iterdir())
    stale = [name for name, text in pages.items() if text != _text(REFERENCE / name)]
    assert stale == [], "run `make docs`"


def test_the_reference_has_every_setting_column_and_failure_with_a_meaning(generate):
    for name in ("settings", "tables", "failures"):
        rows = re.findall(r"^\| `.*$", _text(REFERENCE / f"{name}.md"), re.MULTILINE)
        assert [row for row in rows if re.search(r"\|  \|", row)] == []
    assert set(re.findall(r"^\| `([\w.]+)`", _text(REFERENCE / "settings.md"), re.MULTILINE)) == KEYS


def test_the_comment_of_every_setting_starts_with_its_type(generate):
    comments = generate.setting_comments(_text(ROOT / "conf" / "base.yaml"))
    for key, field in generate.setting_fields().items():
        assert comments[key].startswith(f"{generate.type_name(field)}. "), key


def test_the_page_on_architecture_names_files_that_are_there():
    page = _text(ROOT / "docs" / "contributing" / "architecture.md")
    named = re.findall(r"`((?:pipelines|conf|deploy|docs|jobs|notebooks|requirements|tests)/[\w./-]*|Makefile)`", page)
    assert [name for name in named if not (ROOT / name).exists()] == []
    changes = re.search(r"^\| to change \|.*?(?=^$)", page, re.MULTILINE | re.DOTALL)
    assert changes and changes[0].count("\n") >= 15 + 2


@pages
def test_every_setting_on_a_page_is_known(page):
    assert sorted(settings_in(_text(page)) - KEYS) == []


@pages
def test_every_command_and_option_on_a_page_is_known(page):
    assert faults_of_commands(_text(page)) == []


@pages
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", _text(page)):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or path.suffix != ".md" or anchor in anchors_of(_text(path)), f"{target}#{anchor}"


@pages
def test_every_file_of_the_repository_that_a_page_names_is_there(page):
    folders, suffixes = "benchmarks|conf|deploy|docs|jobs|tests", "md|py|yaml"
    named = re.findall(rf"(?<![(\w/.~-])((?:{folders})/[\w./-]*\w\.(?:{suffixes}))\b", _text(page))
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


@pages
def test_every_make_target_on_a_page_exists(page):
    assert set(re.findall(r"(?:^    |`)make ([a-z][\w-]*)(?![\w-]*=)", _text(page), re.MULTILINE)) <= TARGETS | UNLISTED


@pytest.mark.process
def test_make_alone_lists_the_targets():
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^\s*make ([\w-]+)", listed, re.MULTILINE)) == TARGETS


@pages
def test_every_python_example_imports_names_that_are_there(page):
    for block in re.findall(r"^```python\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines"):
                for alias in node.names:
                    assert is_defined(str(node.module), alias.name), f"from {node.module} import {alias.name}"


@pytest.mark.parametrize("page", FOR_USERS, ids=page_name)
def test_pages_for_users_say_image(page):
    assert re.findall(r"(?i)\bpictures?\b", _text(page)) == []


def test_the_page_on_databricks_names_the_bundles_jobs_variables_and_the_commands_of_the_golden_files():
    page = _text(ROOT / "docs" / "deploy" / "databricks.md")
    bundle = yaml.safe_load(_text(ROOT / "deploy" / "databricks" / "databricks.yml"))
    jobs = re.findall(r"^    (\w+):$", "".join(map(_text, (ROOT / "deploy/databricks/resources").glob("*.yml"))), re.M)
    assert {name for name in re.findall(r"^\| (\w+) \|", page, re.MULTILINE) if name != "job"} >= set(jobs)
    assert set(re.findall(r"bundle run (\w+)", page)) <= set(jobs)
    assert set(re.findall(r"(?:BUNDLE_VAR_|--var '?)(\w+)=", page)) <= set(bundle["variables"])
    golden = _text(ROOT / "docs" / "contributing" / "verification.md")
    assert all(f"> tests/deploy/jobs.{target}.json" in golden for target in ("dev", "prod"))
    assert set(re.findall(r"--var '?(\w+)=", golden)) <= set(bundle["variables"])


def test_the_house_rules_of_length_hold():
    for path in [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        text = _text(path)
        assert text.count("\n") <= 250, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.name}"


def test_the_checks_of_pages_find_what_is_wrong():
    text = "`train.cv_folds` `conf/base.yaml` `train.cv_folds=0` `databricks.yml` IRBIS_TRAIN__NUM_TREES=3"
    text += " --set score.target_recall=1"
    assert settings_in(text) >= {"train.cv_folds", "train.num_trees", "score.target_recall"}
    assert settings_in("`databricks.yml` `images.csv` `spark.executor.cores`") == set()
    lines = "    irbis run --imagse x    # --not-read\n    irbis sweap plan.yaml\n    irbis datasets show x --json\n"
    assert faults_of_commands(lines) == ["irbis run has no --imagse", "there is no irbis sweap"]
    assert faults_of_commands("    irbis run \\\n      --nothing\n") == ["irbis run has no --nothing"]
    assert anchors_of("# A b\n## What a `run` is, and why\n") == {"a-b", "what-a-run-is-and-why"}
    assert is_defined("pipelines.config.settings", "Settings") and not is_defined(
        "pipelines.config.settings", "Sittings"
    )


def settings_in(text: str) -> set[str]:
    """Return the settings that a text names: after --set, as environment variables, or alone in backticks."""
    sections = {key.partition(".")[0] for key in KEYS}
    found = set(re.findall(r"--set ['\"]?(\w+\.\w+)", text))
    found |= {key.lower().replace("__", ".") for key in re.findall(rf"\b{ENV_PREFIX}([A-Z\d]+__[A-Z\d_]+)", text)}
    for section, name in re.findall(r"`(\w+)\.(\w+)(?:=[^`]*)?`", text):
        if section in sections - {"spark"} and name not in FILES:
            found.add(f"{section}.{name}")
    return found


def faults_of_commands(text: str) -> list[str]:
    """Return the commands of irbis, and their options, in the code of a page that do not exist."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = re.findall(r"^ {4,}(?:IRBIS_\w+=\S+ )?irbis ([^#\n]*)", joined, re.MULTILINE)
    lines += re.findall(r"`irbis ([^`#]*)`", joined)
    return [fault for line in lines if (fault := _fault_of(line.split("|")[0].split()))]


def _fault_of(words: list[str]) -> str | None:
    if not words or not re.fullmatch("[a-z][a-z-]*", words[0]):  # `irbis --help`, `irbis COMMAND`
        return None
    name, command = words[0], irbis.commands.get(words[0])
    if command is None:
        return f"there is no irbis {name}"
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        inner = command.commands.values()
        options |= {option for each in inner for param in each.params for option in param.opts}
    for word in words[1:]:
        option = word.strip("[],.;:").partition("=")[0]
        if option.startswith("--") and option not in {*options, "--help"}:
            return f"irbis {name} has no {option}"
    return None


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def is_defined(module: str, name: str) -> bool:
    """Return whether a module has a name or a submodule of that name, from its source: nothing is imported."""
    base = ROOT.joinpath(*module.split("."))
    if (base / f"{name}.py").is_file() or (base / name).is_dir():
        return True
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not file.is_file():
        return False
    names: set[str] = set()
    for node in ast.parse(_text(file)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return name in names


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
