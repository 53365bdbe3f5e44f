"""What the stub of Azure's command line answers to deploy/azure/azure.sh."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.stand_in import StandIns

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


def changes(cloud: StandIns) -> list[str]:
    """Return the calls of `az` that would have changed something."""
    return [" ".join(call) for call in cloud.calls("az") if set(call[:3]) & set(CHANGES)]
