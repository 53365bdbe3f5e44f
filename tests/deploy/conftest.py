"""Stubs of the commands that the scripts in deploy/ call: a head node of HDInsight, Azure's command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.azure_cloud import ANSWERS
from tests.deploy.stand_in import StandIns

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/hdinsight"
STORAGE = "abfs://cluster@hdix.dfs.core.windows.net"


@pytest.fixture
def head_node(tmp_path):
    """Return irbis's folder as it is on a head node, and stubs of the cluster's commands."""
    home = tmp_path / "irbis"
    shutil.copytree(FOLDER, home / "deploy/hdinsight")
    shutil.copytree(ROOT / "jobs", home / "jobs")
    (home / "dist").mkdir()
    (home / "dist/irbis-0.1.0.zip").write_text("code")
    node = StandIns(tmp_path / "node")
    node.add("hdfs", {"getconf": (0, STORAGE)})
    node.add("spark-submit")
    return home, node


@pytest.fixture
def cloud(tmp_path):
    """Return a stub of `az` that answers for a subscription in which nothing has been created."""
    stand_ins = StandIns(tmp_path / "cloud")
    stand_ins.add("az", ANSWERS)
    return stand_ins


@pytest.fixture
def key(tmp_path):
    """Return the path of a public SSH key."""
    path = tmp_path / "id.pub"
    path.write_text("ssh-ed25519 AAAAC3Nz ranger@laptop\n")
    return str(path)
