"""Who reaches what azure.sh makes: the networks that storage is open to, addresses, keys and passwords."""

from __future__ import annotations

import json

import pytest

from tests.deploy.azure_cloud import ANSWERS, AZURE, HOME_ADDRESS, OURS, SECRET, SUBNET, changes
from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process


def _storage(cloud: StandIns) -> dict[str, str]:
    """Return the parameters with which storage was deployed last."""
    calls = [call for call in cloud.calls("az") if "create" in call and "irbis-storage" in call]
    return dict(each.split("=", 1) for each in calls[-1][calls[-1].index("--parameters") + 1 :])


def test_storage_is_closed_to_all_networks_but_those_named_and_those_of_machines(cloud, key):
    sources = f"{HOME_ADDRESS} 198.51.100.0/28 2001:db8::1/128 10.1.0.0/16 172.20.0.1"
    done = cloud.run(AZURE, "up", "hdinsight", said=f"yes\n{SECRET}\n", FROM=sources, KEY=key)
    assert done.returncode == 0, done.stderr
    assert "closed to all networks but FROM" in done.stdout.partition("Make it?")[0]
    given = _storage(cloud)
    assert json.loads(given["addresses"]) == [
        {"value": "203.0.113.7", "action": "Allow"},  # Azure refuses /32
        {"value": "198.51.100.0/28", "action": "Allow"},
    ]
    assert json.loads(given["subnets"]) == [{"id": SUBNET, "action": "Allow"}]


@pytest.mark.parametrize(
    ("target", "sources", "workspaces", "reason"),
    [
        ("databricks", "", "", "Databricks reads it from its own"),
        ("hdinsight", HOME_ADDRESS, "survey", "Databricks reads it from its own"),
        ("hdinsight", "2001:db8::1 192.168.1.1/32", "", "FROM holds no public IPv4 address"),
    ],
)
def test_storage_is_closed_by_roles_alone_where_a_rule_would_lock_somebody_out(
    cloud, key, target, sources, workspaces, reason
):
    cloud.add("az", {**ANSWERS, **OURS, "Microsoft.Databricks/workspaces": (0, workspaces)})
    done = cloud.run(AZURE, "up", target, said=f"yes\n{SECRET}\n", FROM=sources, KEY=key)
    assert done.returncode == 0, done.stderr
    assert f"open to all networks, and closed by roles alone: {reason}" in done.stdout.partition("Make it?")[0]
    assert _storage(cloud)["addresses"] == "[]"


def test_where_nobody_knows_whether_databricks_is_there_nothing_is_changed(cloud, key):
    cloud.add("az", {**ANSWERS, **OURS, "Microsoft.Databricks/workspaces": (1, "")})
    assert cloud.run(AZURE, "up", "hdinsight", said="yes\n", FROM=HOME_ADDRESS, KEY=key).returncode == 1
    assert changes(cloud) == []


def test_where_nobody_knows_the_networks_of_machines_they_are_not_locked_out(cloud, key):
    cloud.add("az", {**ANSWERS, "network vnet list": (1, "")})
    assert cloud.run(AZURE, "up", "hdinsight", said=f"yes\n{SECRET}\n", FROM=HOME_ADDRESS, KEY=key).returncode == 1
    assert [call for call in changes(cloud) if "irbis-storage" in call] == []


def test_a_range_that_storage_does_not_take_is_refused(cloud, key):
    done = cloud.run(AZURE, "up", "hdinsight", said="yes\n", FROM="198.51.100.0/31", KEY=key)
    assert done.returncode == 2 and "Name both addresses" in done.stderr


def test_the_gateways_password_is_in_no_argument_and_no_file(cloud, key):
    done = cloud.run(AZURE, "up", "hdinsight", said=f"yes\n{SECRET}\n", FROM=HOME_ADDRESS, KEY=key)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert not [call for call in cloud.calls("az") if SECRET in " ".join(call)]
    (made,) = [call for call in cloud.calls("az") if "irbis-hdinsight" in call and "create" in call]
    given = dict(each.split("=", 1) for each in made if "=" in each)
    assert json.loads(given["sources"]) == [HOME_ADDRESS] and given["userId"] == ANSWERS["signed-in-user"][1]
    texts = [text for text in cloud.texts("az") if text]
    assert [json.loads(text) for text in texts] == [{"gatewaySecret": {"value": SECRET}}]


@pytest.mark.parametrize("secret", ["short", 'with"quote-123A', ""])
def test_a_password_that_would_be_refused_later_is_refused_before_anything_is_made(cloud, key, secret):
    done = cloud.run(AZURE, "up", "hdinsight", said=f"yes\n{secret}\n", FROM=HOME_ADDRESS, KEY=key)
    assert done.returncode == 2 and "the password has" in done.stderr
    assert changes(cloud) == []


@pytest.mark.parametrize("source", ["*", "0.0.0.0/0", "0.0.0.0", "::/0", "Internet", "any", "10.0.0.0/8 1.2.3.4/0"])
def test_doors_open_to_everybody_are_refused(cloud, key, source):
    done = cloud.run(AZURE, "up", "vm", said="yes\n", FROM=source, KEY=key)
    assert done.returncode == 2 and "lets everybody in" in done.stderr
    assert changes(cloud) == []


def test_what_is_no_address_or_no_public_key_is_refused(cloud, key, tmp_path):
    assert "is no address" in cloud.run(AZURE, "up", "vm", FROM="my-laptop", KEY=key).stderr
    assert "FROM is not set" in cloud.run(AZURE, "up", "vm", KEY=key).stderr
    private = tmp_path / "id"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n")
    assert "not one public key" in cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=str(private)).stderr
    assert "there is no public key" in cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=key + ".nowhere").stderr
