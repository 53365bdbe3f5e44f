"""Every property of deploy/azure is one that Azure's own packages know: spelt so, of this type, none missing.

Words such as Spot or Standard_LRS are plain text there: whether they are the right ones, only Azure says.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / ".tools/azure-models"
pytestmark = [
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="needs Azure's packages: make azure-models"),
    pytest.mark.filterwarnings("ignore:invalid escape sequence"),  # in their own docstrings
]

# Which class describes each resource, at the version that the templates ask for or the nearest that is to be had.
MODELS = {
    "Microsoft.Authorization/roleAssignments": ("authorization.v2022_04_01", "RoleAssignmentCreateParameters"),
    "Microsoft.Compute/virtualMachines": ("compute.v2023_09_01", "VirtualMachine"),
    "Microsoft.Databricks/accessConnectors": ("databricks", "AccessConnector"),
    "Microsoft.Databricks/workspaces": ("databricks", "Workspace"),
    "Microsoft.DevTestLab/schedules": ("devtestlabs", "Schedule"),
    "Microsoft.HDInsight/clusters": ("hdinsight", "ClusterCreateParametersExtended"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi.v2023_01_31", "Identity"),
    "Microsoft.Network/networkInterfaces": ("network", "NetworkInterface"),
    "Microsoft.Network/networkSecurityGroups": ("network", "NetworkSecurityGroup"),
    "Microsoft.Network/publicIPAddresses": ("network", "PublicIPAddress"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.Storage/storageAccounts": ("storage.v2023_01_01", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage.v2023_01_01", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage.v2023_01_01", "BlobContainer"),
}
ARMS_OWN = {"type", "apiVersion", "name", "comments", "copy", "dependsOn", "scope"}
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def faults(value: Any, kind: str, models: Any, path: str) -> Iterator[str]:
    """Return the faults of a value of a type as the packages write types: str, [Model], {str}."""
    if isinstance(value, str) and value.startswith("["):
        return  # an expression: Azure computes it
    if kind.startswith("["):
        for number, each in enumerate(value):
            yield from faults(each, kind[1:-1], models, f"{path}[{number}]")
    elif kind.startswith("{"):
        for key, each in value.items():
            yield from faults(each, kind[1:-1], models, f"{path}.{key}")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]):
            yield f"{path} = {value!r} is no {kind}"
    elif hasattr(model := getattr(models, kind, None), "_attribute_map"):
        yield from _faults_of_model(value, model, models, path)


def _faults_of_model(value: dict[str, Any], model: Any, models: Any, path: str) -> Iterator[str]:
    known = {_steps(told["key"]): (name, told["type"]) for name, told in model._attribute_map.items()}
    given = set()
    for steps, each in _leaves(value, set(known)):
        if steps not in known:
            yield f"{path}.{'.'.join(steps)} is unknown"
            continue
        name, kind = known[steps]
        given.add(name)
        if model._validation.get(name, {}).get("readonly"):
            yield f"{path}.{'.'.join(steps)} can only be read"
        yield from faults(each, kind, models, f"{path}.{'.'.join(steps)}")
    for name, rule in model._validation.items():
        if rule.get("required") and not rule.get("readonly") and name not in given:
            yield f"{path}.{name} is missing"


def _steps(key: str) -> tuple[str, ...]:
    return tuple(re.sub(r"\\.", "\0", key).replace(".", "\n").replace("\0", ".").split("\n"))


def _leaves(tree: dict[str, Any], known: set[tuple[str, ...]], before: tuple[str, ...] = ()) -> Iterator[Any]:
    for key, value in tree.items():
        steps = (*before, key)
        if steps not in known and isinstance(value, dict) and any(each[: len(steps)] == steps for each in known):
            yield from _leaves(value, known, steps)
        else:
            yield steps, value


def _filled(tree: Any, variables: dict[str, Any]) -> Any:
    """Put the variables in that are objects."""
    if isinstance(tree, dict):
        return {key: _filled(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, variables) for value in tree]
    match = re.fullmatch(r"\[variables\('(\w+)'\)\]", tree) if isinstance(tree, str) else None
    return _filled(variables[match[1]], variables) if match and isinstance(variables[match[1]], dict) else tree


def faults_of(template: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the faults of a template's resources."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(PACKAGES)])
    found = []
    for resource in template["resources"]:
        package, model = MODELS[resource["type"]]
        models = importlib.import_module(f"azure.mgmt.{package}.models")
        body = {key: value for key, value in resource.items() if key not in ARMS_OWN}
        found += faults(_filled(body, template.get("variables", {})), model, models, resource["type"])
    return found


@pytest.mark.parametrize("name", ["databricks", "hdinsight", "storage", "vm"])
def test_azures_own_packages_know_every_property(name, monkeypatch):
    assert faults_of(_template(name), monkeypatch) == []


def test_a_wrong_spelling_a_wrong_type_and_a_missing_property_are_found(monkeypatch):
    template = _template("vm")
    machine = next(each for each in template["resources"] if each["type"].endswith("virtualMachines"))
    told = machine["properties"]
    told["storageProfile"]["osDisk"]["diskSizeGb"] = 128
    told["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] = "yes"
    del told["storageProfile"]["osDisk"]["createOption"]
    kind = "Microsoft.Compute/virtualMachines.properties."
    assert [each.removeprefix(kind) for each in faults_of(template, monkeypatch)] == [
        "storageProfile.osDisk.diskSizeGb is unknown",
        "storageProfile.osDisk.create_option is missing",
        "osProfile.linuxConfiguration.disablePasswordAuthentication = 'yes' is no bool",
    ]


def _template(name: str) -> dict[str, Any]:
    return json.loads((ROOT / f"deploy/azure/{name}.json").read_text(encoding="utf-8"))
