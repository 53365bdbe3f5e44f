"""deploy/azure/azure.sh says what it makes and costs, asks first, and calls `az` rightly. The cloud is a stand-in."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
AZURE = str(ROOT / "deploy/azure/azure.sh")
HOME_ADDRESS = "203.0.113.7/32"
SECRET = "Lynx-2026-in-the-snow"
SUBNET = "/subscriptions/s/resourceGroups/irbis/providers/Microsoft.Network/virtualNetworks/n/subnets/machines"
ANSWERS = {
    "account show": (0, "survey subscription"),
    "group show --name": (3, ""),  # there is none yet
    "signed-in-user": (0, "11111111-2222-4333-8444-555555555555"),
    "outputs.address": (0, "198.51.100.4"),
    "outputs.user": (0, "ranger"),
    "outputs.account": (0, "irbisx"),
    "outputs.host": (0, "https://adb-1.azuredatabricks.net"),
    "outputs.livy": (0, "https://irbis-x.azurehdinsight.net/livy"),
    "vm list": (0, "irbis-gpu"),
    "hdinsight list": (0, "irbis-x"),
    "network vnet list": (0, SUBNET),
    "Microsoft.Databricks/workspaces": (0, ""),
    "resource list": (0, "Microsoft.Compute/virtualMachines\tirbis-gpu"),
}
OURS = {"group show --name": (0, "irbis-deploy")}
CHANGES = ("create", "delete", "deallocate", "update", "start")


@pytest.fixture
def cloud(tmp_path):
    stand_ins = StandIns(tmp_path / "cloud")
    stand_ins.add("az", ANSWERS)
    return stand_ins


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "id.pub"
    path.write_text("ssh-ed25519 AAAAC3Nz ranger@laptop\n")
    return str(path)


def _changes(cloud: StandIns) -> list[str]:
    return [" ".join(call) for call in cloud.calls("az") if set(call[:3]) & set(CHANGES)]


@pytest.mark.parametrize("said", ["", "no\n", "y\n", "YES PLEASE\n"])
def test_without_the_word_yes_nothing_is_made(cloud, key, said):
    done = cloud.run(AZURE, "up", "vm", said=said, FROM=HOME_ADDRESS, KEY=key)
    assert done.returncode == 1
    assert "Make it? Type yes:" in done.stdout and "Nothing was changed." in done.stdout
    assert _changes(cloud) == []


def test_what_it_costs_is_said_before_it_asks(cloud, key):
    said = cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=key).stdout
    before = said.partition("Make it?")[0]
    assert "subscription survey subscription, resource group irbis, eastus" in before
    assert (
        "Standard_NC4as_T4_v3" in before and "0.526" in before and "about 0.55 dollars an hour, 13.13 a day" in before
    )
    assert "list prices of 2026-" in before and f"at 1900 UTC; ssh only from {HOME_ADDRESS}" in before


def test_a_spot_machine_is_priced_as_one(cloud, key):
    said = cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=key, SPOT="1").stdout
    assert "about 0.18 dollars an hour" in said and "0.526" not in said


def test_the_hdinsight_cluster_is_priced_by_all_its_nodes(cloud, key):
    said = cloud.run(AZURE, "up", "hdinsight", FROM=HOME_ADDRESS, KEY=key).stdout
    assert "about 2.86 dollars an hour" in said  # 2 x .316 + 3 x .632 + 3 x .11 + .003
    assert "a cluster cannot be stopped" in said


def test_the_machine_is_made_with_the_given_addresses_and_key_and_gets_this_very_commit(cloud, key, tmp_path):
    far = tmp_path / "far"
    far.mkdir()
    cloud.add("nvidia-smi")
    cloud.add("make")
    # The machine's shell, in a folder of its own.
    skip = "while :; do case $1 in -n) shift ;; -o) shift 2 ;; *) break ;; esac; done"
    cloud.script("ssh", f'#!/bin/sh\n{skip}\nshift\ncd {far} && exec sh -c "$*"\n')
    sources = f"{HOME_ADDRESS} 198.51.100.0/28"
    done = cloud.run(AZURE, "up", "vm", said="yes\n", FROM=sources, KEY=key, SPOT="1", SHUTDOWN="2130")
    assert done.returncode == 0, done.stderr
    group, storage, vm, again = (call for call in cloud.calls("az") if "create" in call)
    made = "group create --name irbis --location eastus --tags madeBy=irbis-deploy --output none"
    assert " ".join(group) == made
    assert storage[storage.index("--parameters") + 1] == "userId=11111111-2222-4333-8444-555555555555"
    assert again == storage  # the second time with the subnet that the first can only know of an earlier machine
    given = dict(each.split("=", 1) for each in vm[vm.index("--parameters") + 1 :])
    assert json.loads(given.pop("sshSources")) == [HOME_ADDRESS, "198.51.100.0/28"]
    assert given.pop("cloudInit") == f"@{ROOT}/deploy/azure/cloud-init.yaml"
    assert given == {"sshPublicKey": "ssh-ed25519 AAAAC3Nz ranger@laptop", "spot": "true", "shutdownAt": "2130"}
    assert _head(far / "irbis") == _head(ROOT)
    assert cloud.calls("make") == [["-C", "irbis", ".venv/.ready"]]
    assert "ssh ranger@198.51.100.4" in done.stdout and "az://irbisx/pictures" in done.stdout


def _storage(cloud: StandIns) -> dict[str, str]:
    """Give the parameters with which storage was deployed last."""
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
    assert _changes(cloud) == []


def test_where_nobody_knows_the_networks_of_machines_they_are_not_locked_out(cloud, key):
    cloud.add("az", {**ANSWERS, "network vnet list": (1, "")})
    assert cloud.run(AZURE, "up", "hdinsight", said=f"yes\n{SECRET}\n", FROM=HOME_ADDRESS, KEY=key).returncode == 1
    assert [call for call in _changes(cloud) if "irbis-storage" in call] == []


def test_a_range_that_storage_does_not_take_is_refused(cloud, key):
    done = cloud.run(AZURE, "up", "hdinsight", said="yes\n", FROM="198.51.100.0/31", KEY=key)
    assert done.returncode == 2 and "Name both addresses" in done.stderr


def _head(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_checkout_without_its_past_cannot_be_sent_and_is_refused_at_once(cloud, key, tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(tmp_path / "shallow")], check=True)
    script = tmp_path / "shallow/azure.sh"
    shutil.copy(AZURE, script)
    done = cloud.run(str(script), "up", "vm", said="yes\n", FROM=HOME_ADDRESS, KEY=key)
    assert done.returncode == 2 and "git fetch --unshallow" in done.stderr
    assert cloud.calls("az") == []


def test_a_driver_that_never_answers_is_an_error_that_names_the_log(cloud, key):
    cloud.add("ssh", {"nvidia-smi": (255, "")})
    done = cloud.run(AZURE, "up", "vm", said="yes\n", FROM=HOME_ADDRESS, KEY=key, TRIES="2", PAUSE="0")
    assert done.returncode == 2 and "cloud-init-output.log" in done.stderr


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
    assert _changes(cloud) == []


def test_a_workspace_of_databricks_needs_neither_addresses_nor_a_key(cloud):
    done = cloud.run(AZURE, "up", "databricks", said="yes\n")
    assert done.returncode == 0, done.stderr
    made = [call[call.index("--template-file") + 1] for call in cloud.calls("az") if "--template-file" in call]
    assert [Path(each).name for each in made] == ["storage.json", "databricks.json"]
    assert "https://adb-1.azuredatabricks.net" in done.stdout


@pytest.mark.parametrize("target", ["", "vms", "kubernetes"])
def test_an_unknown_target_is_refused_before_az_is_asked_anything(cloud, target):
    done = cloud.run(AZURE, "up", target)
    assert done.returncode == 2 and f"TARGET={target} is unknown. Expected vm, databricks or hdinsight." in done.stderr
    assert cloud.calls("az") == []


@pytest.mark.parametrize("source", ["*", "0.0.0.0/0", "0.0.0.0", "::/0", "Internet", "any", "10.0.0.0/8 1.2.3.4/0"])
def test_doors_open_to_everybody_are_refused(cloud, key, source):
    done = cloud.run(AZURE, "up", "vm", said="yes\n", FROM=source, KEY=key)
    assert done.returncode == 2 and "lets everybody in" in done.stderr
    assert _changes(cloud) == []


def test_what_is_no_address_or_no_public_key_is_refused(cloud, key, tmp_path):
    assert "is no address" in cloud.run(AZURE, "up", "vm", FROM="my-laptop", KEY=key).stderr
    assert "FROM is not set" in cloud.run(AZURE, "up", "vm", KEY=key).stderr
    private = tmp_path / "id"
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n")
    assert "not one public key" in cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=str(private)).stderr
    assert "there is no public key" in cloud.run(AZURE, "up", "vm", FROM=HOME_ADDRESS, KEY=key + ".nowhere").stderr


def test_without_az_or_without_a_sign_in_it_says_what_to_do(cloud, tmp_path):
    none = StandIns(tmp_path / "none")
    done = none.run(AZURE, "stop")
    assert done.returncode == 2
    assert done.stderr == "azure: the Azure command line (az) is not on PATH. Install it, then: az login\n"
    none.add("az", {"account show": (1, "")})
    assert none.run(AZURE, "stop").stderr == "azure: nobody is signed in. Run: az login\n"


def test_stop_deallocates_the_machine_and_deletes_the_cluster_and_says_that_it_does(cloud):
    cloud.add("az", {**ANSWERS, **OURS})
    done = cloud.run(AZURE, "stop", said="yes\n")
    assert done.returncode == 0, done.stderr
    assert "The HDInsight cluster irbis-x is DELETED, because it cannot be stopped." in done.stdout
    assert "disk of 128 GiB" in done.stdout and "worker" not in done.stdout
    assert _changes(cloud) == [
        "vm deallocate --resource-group irbis --name irbis-gpu --output none",
        "hdinsight delete --resource-group irbis --name irbis-x --yes --output none",
    ]


def test_stop_and_down_change_nothing_without_the_word_yes(cloud):
    cloud.add("az", {**ANSWERS, **OURS})
    assert cloud.run(AZURE, "stop", said="no\n").returncode == 1
    assert cloud.run(AZURE, "down").returncode == 1
    assert _changes(cloud) == []


def test_stop_says_so_where_nothing_runs(cloud):
    cloud.add("az", {**ANSWERS, **OURS, "vm list": (0, ""), "hdinsight list": (0, "")})
    done = cloud.run(AZURE, "stop")
    assert done.returncode == 0 and "Nothing runs in irbis" in done.stdout


def test_down_shows_what_is_in_the_group_and_deletes_it(cloud):
    cloud.add("az", {**ANSWERS, **OURS})
    done = cloud.run(AZURE, "down", said="yes\n", GROUP="survey")
    assert done.returncode == 0, done.stderr
    assert "Microsoft.Compute/virtualMachines\tirbis-gpu" in done.stdout.partition("Delete it?")[0]
    assert _changes(cloud) == ["group delete --name survey --yes --output none"]


@pytest.mark.parametrize("verb", ["stop", "down", "up"])
def test_a_group_that_somebody_else_has_made_is_left_alone(cloud, verb):
    cloud.add("az", {**ANSWERS, "group show --name": (0, "")})
    done = cloud.run(AZURE, verb, "databricks", said="yes\n")
    assert done.returncode == 2 and "was not made by this script" in done.stderr
    assert _changes(cloud) == []


def test_make_hands_the_target_and_what_is_set_to_the_script(cloud, key):
    make = shutil.which("make")
    words = ["-s", "-C", str(ROOT), "azure-up", "TARGET=vm", f"FROM={HOME_ADDRESS}", f"KEY={key}", "SPOT=1"]
    done = cloud.run(str(make), *words, said="no\n")
    assert "about 0.18 dollars an hour" in done.stdout and "Nothing was changed." in done.stdout
