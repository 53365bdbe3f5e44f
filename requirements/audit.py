"""Compare every lock with known vulnerabilities; exit with 1 for one that is not accepted. `make audit` runs it.

Two sources: known.yaml, which needs no network, and an advisory service, asked by pip-audit. Where none can be reached,
the output says so, and known.yaml alone decides. pip-audit's own variables choose another service:
PIP_AUDIT_VULNERABILITY_SERVICE=osv and PIP_AUDIT_OSV_URL.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version

FOLDER = Path(__file__).resolve().parent
SERVICE = "PIP_AUDIT_VULNERABILITY_SERVICE"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
# What pip-audit, or requests below it, raises where a service does not answer, or not with advisories.
UNREACHABLE = re.compile(
    r"\b(ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|ServiceError|JSONDecodeError)\b"
)

Pin = tuple[str, str]  # package and version
Lanes = dict[str, set[Pin]]


class Unreachable(Exception):
    """No advisory service answers; the text says why."""


@dataclass(frozen=True)
class Finding:
    """Hold one vulnerability of a locked package; `ids` are its names in all databases."""

    package: str
    version: str
    lane: str
    ids: frozenset[str]
    remedy: str

    def __str__(self) -> str:
        return f"{self.package} {self.version} ({self.lane}): {', '.join(sorted(self.ids))}: {self.remedy}"


@dataclass(frozen=True)
class Accepted:
    """Hold one accepted vulnerability of one package in one lane."""

    package: str
    id: str
    lane: str
    reason: str
    until: date

    def matches(self, finding: Finding) -> bool:
        return (self.package, self.lane) == (finding.package, finding.lane) and self.id in finding.ids


def locked(folder: Path = FOLDER) -> Lanes:
    """Return the pins of every lock, by its lane."""
    return {
        file.stem: {(str(canonicalize_name(name)), version) for name, version in PIN.findall(file.read_text("utf-8"))}
        for file in sorted(folder.glob("*.txt"))
    }


def installed() -> set[Pin]:
    """Return the packages of this environment."""
    found = {(str(canonicalize_name(each.metadata["Name"])), each.version) for each in distributions()}
    return {pin for pin in found if pin[0] != "irbis"}


def known_findings(lanes: Lanes, folder: Path = FOLDER) -> list[Finding]:
    """Return what known.yaml says of the locks."""
    found = []
    for entry in yaml.safe_load((folder / "known.yaml").read_text("utf-8")):
        introduced, fixed = Version(entry.get("introduced", "0")), entry.get("fixed")
        remedy = f"{entry['part']}; fixed in {fixed or 'no version'}"
        found += [
            Finding(package, version, lane, frozenset({entry["id"]}), remedy)
            for lane, pins in lanes.items()
            for package, version in sorted(pins)
            if package == entry["package"]
            and introduced <= Version(version)
            and (not fixed or Version(version) < Version(fixed))
        ]
    return found


def service_findings(lanes: Lanes) -> list[Finding]:
    """Return what an advisory service says of the locks, or raise Unreachable."""
    pins = sorted(set().union(*lanes.values()))
    services = [os.environ[SERVICE]] if SERVICE in os.environ else ["pypi", "osv"]
    reasons = []
    for service in services:
        try:
            _ask(service, pins[:1])  # where there is no service, hundreds of questions would go out for nothing
            return _findings([answer for batch in _batches(pins) for answer in _ask(service, batch)], lanes)
        except Unreachable as error:
            reasons.append(f"{service}: {error}")
    raise Unreachable("; ".join(reasons))


def accepted(folder: Path = FOLDER) -> list[Accepted]:
    """Return what accepted.yaml lets through."""
    return [
        Accepted(package, id_, lane, " ".join(entry["reason"].split()), entry["until"])
        for entry in yaml.safe_load((folder / "accepted.yaml").read_text("utf-8"))
        for package in entry["packages"]
        for id_ in entry["ids"]
        for lane in entry["lanes"]
    ]


def faults(findings: Iterable[Finding], entries: list[Accepted], today: date, known: set[str] | None) -> list[str]:
    """Return what must be done: findings that are not accepted, entries that are over or match nothing.

    `known`: the ids that could be found; None where a service was asked, which knows all.
    """
    findings = list(findings)
    new = [f for f in findings if not any(entry.matches(f) for entry in entries)]
    over = [entry for entry in entries if entry.until < today]
    unused = [
        entry
        for entry in entries
        if (known is None or entry.id in known) and not any(entry.matches(finding) for finding in findings)
    ]
    return [
        *[f"not accepted: {finding}" for finding in new],
        *[f"accepted until {e.until}, look again: {e.package} ({e.lane}): {e.id}: {e.reason}" for e in over],
        *[f"accepted, but no longer found, remove it: {e.package} ({e.lane}): {e.id}" for e in unused],
    ]


def main(folder: Path = FOLDER, today: date | None = None) -> int:
    """Print findings, accepted and not; return 1 where there is something to do."""
    lanes, entries = locked(folder), accepted(folder)
    lanes["installed"] = installed() - set().union(*lanes.values())
    findings, known = known_findings(lanes, folder), None
    try:
        findings += service_findings(lanes)
    except Unreachable as error:
        known = {entry["id"] for entry in yaml.safe_load((folder / "known.yaml").read_text("utf-8"))}
        print(f"SKIPPED: no advisory service can be reached ({error}). Only known.yaml was compared.")
    print("\n".join(_summary(entries)))
    todo = faults(findings, entries, today or date.today(), known)
    print("\n".join(todo) or f"{len(set().union(*lanes.values()))} packages in {len(lanes) - 1} locks: nothing new")
    if todo:
        print("Raise versions (pyproject.toml or requirements/*.in, then make lock), or accept them in accepted.yaml.")
    return 1 if todo else 0


def _summary(entries: list[Accepted]) -> list[str]:
    """Return one line for each reason."""
    lines = []
    for reason in dict.fromkeys(entry.reason for entry in entries):
        same = [entry for entry in entries if entry.reason == reason]
        packages, lanes, ids = (dict.fromkeys(getattr(e, what) for e in same) for what in ("package", "lane", "id"))
        lines.append(f"accepted: {', '.join(packages)} ({', '.join(lanes)}): {', '.join(ids)}: {reason}")
    return lines


def _ask(service: str, pins: list[Pin]) -> list[dict[str, Any]]:
    """Return pip-audit's answer of each package, or raise Unreachable; RuntimeError where pip-audit itself fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pins.txt")
        file.write_text("".join(f"{name}=={version}\n" for name, version in pins), "utf-8")
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", service, "--format", "json"]
        command += ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--requirement", str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        if UNREACHABLE.search(done.stderr):
            raise Unreachable(re.sub(r"\(.*", "", last)[:100].strip())
        raise RuntimeError(f"pip-audit failed ({done.returncode}): {last}")
    answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    if all("skip_reason" in answer for answer in answers):
        raise Unreachable("it knows none of the packages")
    return answers


def _batches(pins: list[Pin]) -> list[list[Pin]]:
    """Return the pins in lists in which every package stands once, as pip-audit wants them."""
    batches: list[list[Pin]] = []
    for pin in pins:
        free = next((batch for batch in batches if pin[0] not in dict(batch)), None)
        if free is None:
            batches.append(free := [])
        free.append(pin)
    return batches


def _findings(answers: list[dict[str, Any]], lanes: Lanes) -> list[Finding]:
    found = []
    for answer in answers:
        name, version = str(canonicalize_name(answer["name"])), answer.get("version", "")
        vulnerabilities = [
            (frozenset({each["id"], *each["aliases"]}), f"fixed in {', '.join(each['fix_versions']) or 'no version'}")
            for each in answer.get("vulns", ())
        ]
        if reason := answer.get("skip_reason"):  # names the version, and has none
            vulnerabilities, version = [(frozenset({"not audited"}), reason)], "?"
        for lane, pins in lanes.items():
            if (name, version) in pins or (version == "?" and any(name == pin for pin, _ in pins)):
                found += [Finding(name, version, lane, ids, remedy) for ids, remedy in vulnerabilities]
    return found


if __name__ == "__main__":
    sys.exit(main())
