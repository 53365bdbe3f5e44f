"""The templates of deploy/azure hold together, and let nobody in who is not named. Azure itself is not asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "deploy/azure"
TEMPLATES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")}
ROLES = {  # Azure's own, by the ids that are the same everywhere
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "db58b8e5-c6ad-4a2a-8342-4190687cbf4a": "Storage Blob Delegator",
}
FUNCTIONS = re.compile(
    "base64|concat|copyIndex|empty|guid|if|json|length|null|parameters|reference|replace|resourceGroup|resourceId|"
    "subscriptionResourceId|uniqueString|variables"
)
EVERYBODY = {"*", "0.0.0.0/0", "0.0.0.0", "::/0", "Internet", "Any"}
names = pytest.mark.parametrize("name", sorted(TEMPLATES))


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from _strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _strings(value)


def _expressions(template: dict[str, Any]) -> list[str]:
    return [text for text in _strings(template) if text.startswith("[") and text.endswith("]")]


def _resources(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, each) for name, template in TEMPLATES.items() for each in template["resources"] if each["type"] == kind
    ]


@names
def test_what_is_named_in_an_expression_is_defined_and_what_is_defined_is_used(name):
    template = TEMPLATES[name]
    for kind in ("parameters", "variables"):
        used = {each for text in _expressions(template) for each in re.findall(rf"\b{kind}\('(\w+)'\)", text)}
        assert used == set(template.get(kind, {})), kind


@names
def test_expressions_close_what_they_open_and_call_functions_that_there_are(name):
    for text in _expressions(TEMPLATES[name]):
        bare = re.sub(r"'(?:[^']|'')*'", "''", text)
        assert bare.count("(") == bare.count(")") and bare.count("[") == bare.count("]"), text
        assert all(FUNCTIONS.fullmatch(call) for call in re.findall(r"\b([A-Za-z]\w*)\(", bare)), text


@names
def test_every_resource_says_its_type_version_and_name_and_no_other_key_than_arm_knows(name):
    known = {"type", "apiVersion", "name", "location", "comments", "copy", "dependsOn", "scope", "identity", "kind"}
    for each in TEMPLATES[name]["resources"]:
        assert re.fullmatch(r"Microsoft\.\w+(/\w+)+", each["type"])
        assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])-([0-2]\d|3[01])", each["apiVersion"])
        assert set(each) <= known | {"sku", "properties"}, each["type"]


@names
def test_what_a_resource_waits_for_is_in_the_same_template(name):
    template = TEMPLATES[name]
    there = {each["type"] for each in template["resources"]}
    copies = {each["copy"]["name"] for each in template["resources"] if "copy" in each}
    for each in template["resources"]:
        for awaited in each.get("dependsOn", []):
            match = re.match(r"\[resourceId\('([\w./]+)'", awaited)
            assert (match and match[1] in there) or awaited in copies, awaited


@names
def test_a_resource_that_reads_another_of_its_template_waits_for_it(name):
    template = TEMPLATES[name]
    there = {each["type"] for each in template["resources"]}
    for each in template["resources"]:
        awaited = " ".join(each.get("dependsOn", []))
        for kind in re.findall(r"reference\(resourceId\('([\w./]+)'", json.dumps(each)):
            assert kind not in there or f"'{kind}'" in awaited, (each["type"], kind)


@names
def test_the_version_that_is_read_is_the_version_that_is_made(name):
    template = TEMPLATES[name]
    versions = {each["type"]: each["apiVersion"] for each in template["resources"]}
    for text in _expressions(template):
        for kind, version in re.findall(r"reference\(resourceId\('([\w./]+)'[^()]*(?:\([^()]*\))?\), '([\d-]+)'", text):
            assert versions[kind] == version


def test_the_account_is_called_the_same_wherever_it_is_named():
    given = {name: TEMPLATES[name]["parameters"]["account"]["defaultValue"] for name in ("storage", "vm", "databricks")}
    assert set(given.values()) == {"[concat('irbis', uniqueString(resourceGroup().id))]"}


def test_no_template_holds_or_wants_a_password_but_that_of_hdinsights_gateway():
    wanted = [
        (name, key)
        for name, template in TEMPLATES.items()
        for key, each in template["parameters"].items()
        if each["type"].lower().startswith("secure") or re.search(r"(?i)password|secret|token|sas$|accountkey", key)
    ]
    assert wanted == [("hdinsight", "gatewaySecret")]
    gateway = TEMPLATES["hdinsight"]["parameters"]["gatewaySecret"]
    assert gateway["type"] == "secureString" and "defaultValue" not in gateway
    for name, template in TEMPLATES.items():
        text = json.dumps(template)
        assert not re.search(r"(?i)adminPassword|listKeys|AccountKey=|sig=", text), name
        assert "gatewaySecret" not in json.dumps(template.get("outputs", {})), name
    assert json.dumps(TEMPLATES["hdinsight"]).count("parameters('gatewaySecret')") == 1


def test_machines_take_keys_and_no_passwords():
    ((_, machine),) = _resources("Microsoft.Compute/virtualMachines")
    linux = machine["properties"]["osProfile"]["linuxConfiguration"]
    assert linux["disablePasswordAuthentication"] is True
    assert linux["ssh"]["publicKeys"][0]["keyData"] == "[parameters('sshPublicKey')]"
    nodes = TEMPLATES["hdinsight"]["variables"]["osProfile"]["linuxOperatingSystemProfile"]
    assert set(nodes) == {"username", "sshProfile"}


def test_only_addresses_that_were_given_come_in_and_nobody_gives_them_by_default():
    seen = []
    for name, rules in _resources("Microsoft.Network/networkSecurityGroups"):
        for rule in rules["properties"]["securityRules"]:
            what = rule["properties"]
            assert what["direction"] == "Inbound" and what["access"] == "Allow"
            source = what.get("sourceAddressPrefix", what.get("sourceAddressPrefixes"))
            assert source not in EVERYBODY
            ports = what.get("destinationPortRanges") or [what["destinationPortRange"]]
            seen.append((name, source, ports))
    assert sorted(seen, key=str) == [
        ("hdinsight", "[parameters('sources')]", ["22", "443"]),
        ("hdinsight", "HDInsight", ["443"]),
        ("vm", "[parameters('sshSources')]", ["22"]),
    ]
    for name, parameter in (("vm", "sshSources"), ("hdinsight", "sources")):
        given = TEMPLATES[name]["parameters"][parameter]
        assert given["type"] == "array" and given["minLength"] == 1 and "defaultValue" not in given


def test_storage_is_closed_to_keys_and_to_the_public():
    accounts = _resources("Microsoft.Storage/storageAccounts")
    assert [name for name, _ in accounts] != [] and len(accounts) == 2
    for _, account in accounts:
        told = account["properties"]
        assert told["allowSharedKeyAccess"] is False and told["allowBlobPublicAccess"] is False
        assert told["supportsHttpsTrafficOnly"] is True and told["minimumTlsVersion"] == "TLS1_2"
    networks = {name: account["properties"]["networkAcls"] for name, account in accounts}
    assert networks["storage"] == {
        "defaultAction": "[if(empty(parameters('addresses')), 'Allow', 'Deny')]",
        "bypass": "AzureServices",
        "ipRules": "[parameters('addresses')]",
        "virtualNetworkRules": "[parameters('subnets')]",
    }
    assert networks["hdinsight"] == {"defaultAction": "Allow", "bypass": "AzureServices"}  # or no cluster is made
    for _, container in _resources("Microsoft.Storage/storageAccounts/blobServices/containers"):
        assert container["properties"] == {"publicAccess": "None"}


def test_what_is_deleted_from_storage_can_be_brought_back_for_a_week():
    services = _resources("Microsoft.Storage/storageAccounts/blobServices")
    assert {name for name, _ in services} == {"hdinsight", "storage"}
    for _, service in services:
        week = {"enabled": True, "days": 7}
        assert service["properties"] == {"deleteRetentionPolicy": week, "containerDeleteRetentionPolicy": week}


def test_subnets_of_machines_reach_storage_as_themselves():
    found = {name: each["properties"]["subnets"] for name, each in _resources("Microsoft.Network/virtualNetworks")}
    assert set(found) == {"vm", "hdinsight"}
    for (subnet,) in found.values():
        assert subnet["properties"]["serviceEndpoints"] == [{"service": "Microsoft.Storage"}]


def test_each_role_is_the_least_that_does_and_is_named_by_its_comment():
    given = []
    for name, each in _resources("Microsoft.Authorization/roleAssignments"):
        (role,) = re.findall(r"'([0-9a-f-]{36})'", each["properties"]["roleDefinitionId"])
        assert re.split("[,:]", each["comments"])[0] == ROLES[role]
        on_container = "blobServices/containers'" in each["scope"]
        given.append((name, ROLES[role], each["scope"].split("'")[-2] if on_container else "account"))
        assert each["scope"].startswith("[resourceId('Microsoft.Storage/storageAccounts")
    assert sorted(given) == [
        ("databricks", "Storage Blob Data Reader", "images"),
        ("hdinsight", "Storage Blob Data Contributor", "fileSystem"),
        ("hdinsight", "Storage Blob Data Owner", "account"),  # its own, which holds nothing else
        ("storage", "Storage Blob Data Contributor", "containers"),  # variables('containers'): each of the two
        ("storage", "Storage Blob Delegator", "account"),
        ("vm", "Storage Blob Data Contributor", "irbis"),
        ("vm", "Storage Blob Data Reader", "images"),
    ]


def test_the_machine_has_a_t4_may_be_spot_and_is_shut_down_every_day():
    parameters = TEMPLATES["vm"]["parameters"]
    assert parameters["size"]["defaultValue"] == "Standard_NC4as_T4_v3"
    ((_, machine),) = _resources("Microsoft.Compute/virtualMachines")
    assert machine["properties"]["priority"] == "[if(parameters('spot'), 'Spot', 'Regular')]"
    assert machine["identity"] == {"type": "SystemAssigned"}
    ((_, schedule),) = _resources("Microsoft.DevTestLab/schedules")
    assert schedule["name"] == "[concat('shutdown-computevm-', parameters('name'))]"  # Azure looks for just this name
    assert schedule["properties"]["taskType"] == "ComputeVmShutdownTask"
    assert schedule["properties"]["status"] == "Enabled"


def test_the_cluster_is_hdinsight_5_1_with_spark_3_3_and_grows_with_its_load():
    ((_, cluster),) = _resources("Microsoft.HDInsight/clusters")
    told = cluster["properties"]
    assert told["clusterVersion"] == "5.1" and told["clusterDefinition"]["componentVersion"] == {"Spark": "3.3"}
    workers = {role["name"]: role for role in told["computeProfile"]["roles"]}["workernode"]
    assert set(workers["autoscale"]["capacity"]) == {"minInstanceCount", "maxInstanceCount"}
    assert "key" not in told["storageProfile"]["storageaccounts"][0]


def test_the_prices_name_the_machines_that_the_templates_make():
    lines = (FOLDER / "prices.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert {row[0] for row in rows} == {"any", "vm", "vm-spot", "databricks", "hdinsight"}
    assert all(len(row) == 5 and int(row[1]) > 0 and 0 < float(row[3]) < 10 and row[4] in ("yes", "no") for row in rows)
    assert re.search(r"list prices.* noted by hand on 20\d\d-\d\d-\d\d\.", lines[0]) and "check them" in lines[1]
    size = re.compile(r"Standard_[A-Z]+\d\w*")
    assert set(size.findall("\n".join(lines))) == set(size.findall(json.dumps(TEMPLATES)))
    ((_, cluster),) = _resources("Microsoft.HDInsight/clusters")
    roles = cluster["properties"]["computeProfile"]["roles"]
    counts = [int(row[1]) for row in rows if row[0] == "hdinsight"]
    least = TEMPLATES["hdinsight"]["parameters"]["minWorkers"]["defaultValue"]
    assert counts == [roles[0]["targetInstanceCount"], least, roles[2]["targetInstanceCount"]]
    most = TEMPLATES["hdinsight"]["parameters"]["maxWorkers"]["defaultValue"]
    assert f"autoscale up to {most}" in "\n".join(lines)
