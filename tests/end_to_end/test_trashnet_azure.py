"""A whole set of real images from a container: the rows are the folder's, through faults and after kills too."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from azure.storage.blob import ContainerClient
from pyspark.sql import functions as F

from pipelines.config.loader import load_settings
from pipelines.stages.ingest import stage as ingest
from pipelines.stages.upload import upload_folder
from pipelines.workspace.tables import Tables
from tests.azurite import ACCOUNT, KEY
from tests.fault_proxy import FAULTS, fault_proxy

from .conftest import COMMAND, closing_lines

pytestmark = pytest.mark.slow

IMAGES, SHARE, KILLS, PER_COMMIT = 2527, 0.14, 3, 400
KEY_ENV = {"IRBIS_AZURE__ACCOUNT_KEY": KEY}
SAME = ["relative", "content_hash", "size", "label", "width", "height", "failure"]


@pytest.fixture(scope="module")
def trashnet(azurite, shared_data):
    """Return the client of a container with the images of trashnet."""
    client = ContainerClient.from_connection_string(azurite.connection_string, "trashnet")
    client.create_container()
    settings = load_settings(None, {"sources.images": client.url, "azure.account_key": KEY})
    lines, is_whole = upload_folder(str(shared_data / "trashnet"), settings, False)
    assert is_whole and lines[0].startswith(f"upload: {IMAGES:,} found, {IMAGES:,} sent ")
    return client


@pytest.fixture(scope="module")
def undisturbed(spark, trashnet, tmp_path_factory):
    """Return the settings of a workspace into which the container was ingested without faults."""
    settings = settings_of(trashnet.url, tmp_path_factory.mktemp("undisturbed"))
    assert ingest.run(spark, settings).written == IMAGES
    return settings


def settings_of(address, workspace):
    return load_settings(
        None, {"sources.images": address, "azure.account_key": KEY, "workspace": str(workspace / "workspace")}
    )


def address_of(proxy, container):
    return f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}"


def rows(spark, settings, root):
    """Return the rows to compare; check that each path is there once, with the bytes of its hash."""
    images = Tables.of(spark, settings).read("images")
    assert images.count() == images.select("path").distinct().count() == IMAGES
    assert images.where("sha2(content, 256) != content_hash or content is null").count() == 0
    return images.withColumn("relative", F.expr(f"substring(path, {len(root) + 2})")).select(*SAME)


def differences(one, other):
    return [row.asDict() for row in one.exceptAll(other).take(3) + other.exceptAll(one).take(3)]


def test_the_rows_of_the_container_are_those_of_the_folder(spark, trashnet, undisturbed, shared_data, tmp_path):
    folder = shared_data / "trashnet"
    here = load_settings(None, {"sources.images": str(folder), "workspace": str(tmp_path / "workspace")})
    assert ingest.run(spark, here).written == IMAGES
    found = rows(spark, undisturbed, trashnet.url)
    assert differences(found, rows(spark, here, f"file://{folder}")) == []
    assert found.where("failure is null and label is not null and width > 0").count() == IMAGES


def test_with_a_seventh_of_the_answers_spoilt_the_rows_are_the_same(spark, trashnet, undisturbed, azurite, tmp_path):
    # An image is asked for six times: that one of them all is spoilt each time has a chance of 1 in 130.
    with fault_proxy(azurite.port, SHARE) as proxy:
        settings = settings_of(address_of(proxy, trashnet), tmp_path)
        result = ingest.run(spark, settings)
    assert (result.read, result.failures) == (IMAGES, {})
    root = settings.sources.images
    assert differences(rows(spark, settings, root), rows(spark, undisturbed, trashnet.url)) == []
    assert all(proxy.met[fault] > 25 for fault in FAULTS), proxy.met


def kill_amid(words, folder, proxy, requests, seconds):
    """Start irbis, let it make some requests, wait, and kill it with all its processes while it still runs."""
    goal, patience = proxy.met.total() + requests, time.monotonic() + 120
    running = subprocess.Popen(
        [*COMMAND, *words],
        cwd=folder,
        env={**os.environ, **KEY_ENV},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while proxy.met.total() < goal and running.poll() is None and time.monotonic() < patience:
        time.sleep(0.02)
    assert proxy.met.total() >= goal
    time.sleep(seconds)
    assert running.poll() is None, "it had ended before it was killed"
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def test_killed_three_times_and_run_to_the_end_the_rows_are_the_same_and_then_nothing_is_read(
    irbis, spark, trashnet, undisturbed, azurite, tmp_path
):
    chance, left = random.Random(11), []
    with fault_proxy(azurite.port, SHARE, ("503", "cut", "reset", "corrupt"), latency=0.1) as proxy:
        settings = settings_of(address_of(proxy, trashnet), tmp_path)
        tables, root = Tables.of(spark, settings), settings.sources.images
        words = ["ingest", "--images", root, "--workspace", "workspace", f"--set=ingest.files_per_commit={PER_COMMIT}"]
        for _ in range(KILLS):
            kill_amid(
                words, tmp_path, proxy, chance.randrange(PER_COMMIT // 2, 5 * PER_COMMIT // 2), chance.uniform(0, 3)
            )
            left.append(tables.read("images").count())
        assert left == sorted(left) and 0 < left[-1] < IMAGES and all(count % PER_COMMIT == 0 for count in left), left
        rest = f"{IMAGES - left[-1]:,}"
        done = irbis(*words, env=KEY_ENV)
        assert f"{rest} read, {rest} written, 0 failed" in closing_lines(done.stdout)["ingest"]
        assert differences(rows(spark, settings, root), rows(spark, undisturbed, trashnet.url)) == []
        version, requests = tables.version("images"), proxy.met.total()
        done = irbis(*words, env=KEY_ENV)
        assert "0 read, 0 written, 0 failed" in closing_lines(done.stdout)["ingest"]
        assert tables.version("images") == version
        assert proxy.met.total() - requests < 20, "names are listed, no image is asked for"
