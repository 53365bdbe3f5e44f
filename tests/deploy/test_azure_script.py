"""deploy/azure/azure.sh says what it makes and costs, asks first, and calls `az` rightly. `az` is a stub."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.azure_cloud import ANSWERS, AZURE, HOME_ADDRESS, OURS, ROOT, changes
from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process


@pytest.mark.parametrize("said", ["", "no\n", "y\n", "YES PLEASE\n"])
def test_without_the_word_yes_nothing_is_made(cloud, key, said):
    done = cloud.run(AZURE, "up", "vm", said=said, FROM=HOME_ADDRESS, KEY=key)
    assert done.returncode == 1
    assert "Make it? Type yes:" in done.stdout and "Nothing was changed." in done.stdout
    assert changes(cloud) == []


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
    assert "ssh ranger@198.51.100.4" in done.stdout and "az://irbisx/images" in done.stdout


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
    assert changes(cloud) == [
        "vm deallocate --resource-group irbis --name irbis-gpu --output none",
        "hdinsight delete --resource-group irbis --name irbis-x --yes --output none",
    ]


def test_stop_and_down_change_nothing_without_the_word_yes(cloud):
    cloud.add("az", {**ANSWERS, **OURS})
    assert cloud.run(AZURE, "stop", said="no\n").returncode == 1
    assert cloud.run(AZURE, "down").returncode == 1
    assert changes(cloud) == []


def test_stop_says_so_where_nothing_runs(cloud):
    cloud.add("az", {**ANSWERS, **OURS, "vm list": (0, ""), "hdinsight list": (0, "")})
    done = cloud.run(AZURE, "stop")
    assert done.returncode == 0 and "Nothing runs in irbis" in done.stdout


def test_down_shows_what_is_in_the_group_and_deletes_it(cloud):
    cloud.add("az", {**ANSWERS, **OURS})
    done = cloud.run(AZURE, "down", said="yes\n", GROUP="survey")
    assert done.returncode == 0, done.stderr
    assert "Microsoft.Compute/virtualMachines\tirbis-gpu" in done.stdout.partition("Delete it?")[0]
    assert changes(cloud) == ["group delete --name survey --yes --output none"]


@pytest.mark.parametrize("verb", ["stop", "down", "up"])
def test_a_group_that_somebody_else_has_made_is_left_alone(cloud, verb):
    cloud.add("az", {**ANSWERS, "group show --name": (0, "")})
    done = cloud.run(AZURE, verb, "databricks", said="yes\n")
    assert done.returncode == 2 and "was not made by this script" in done.stderr
    assert changes(cloud) == []


def test_make_hands_the_target_and_what_is_set_to_the_script(cloud, key):
    make = shutil.which("make")
    words = ["-s", "-C", str(ROOT), "azure-up", "TARGET=vm", f"FROM={HOME_ADDRESS}", f"KEY={key}", "SPOT=1"]
    done = cloud.run(str(make), *words, said="no\n")
    assert "about 0.18 dollars an hour" in done.stdout and "Nothing was changed." in done.stdout


def test_the_machines_first_start_is_a_cloud_config_with_what_make_needs_and_a_driver_for_the_locked_torch():
    text = (ROOT / "deploy/azure/cloud-init.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(text)
    assert text.startswith("#cloud-config\n")
    assert {"git", "make", "python3", "python3-pip"} <= set(told["packages"])
    assert len(text.encode()) < 60_000  # what Azure takes as custom data, before base64
    locked = (ROOT / "requirements/default.txt").read_text(encoding="utf-8")
    (cuda,) = set(re.findall(r"^cuda-toolkit==(\d+)\.", locked, re.MULTILINE))
    assert {"12": "535", "13": "580"}[cuda] in json.dumps(told["runcmd"])
