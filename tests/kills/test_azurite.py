"""SIGKILL at random moments of an upload and an ingest, to and from a container: nothing is lost, nothing doubled."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

import pytest

from tests.azurite import ACCOUNT, KEY

from ..same_tables import assert_same_tables
from .killing import Killer, copy_of, options, orphans, run_apart, run_here

pytestmark = pytest.mark.kills

KEY_ENV = {"IRBIS_AZURE__ACCOUNT_KEY": KEY}
INGESTS, UPLOADS, IN_THE_CLOUD = 20, 30, 5


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    for name, value in KEY_ENV.items():
        monkeypatch.setenv(name, value)


def test_an_ingest_from_a_container_that_is_killed_reads_every_blob_once(spark, survey, stages, uploaded, tmp_path):
    undisturbed = copy_of(stages["nothing"], tmp_path / "undisturbed")
    words = options(uploaded.url, undisturbed)
    killer = Killer("ingest from Azurite", run_apart("ingest", *words, folder=tmp_path), env=KEY_ENV)
    roots = f"file://{survey}", uploaded.url
    assert_same_tables(spark, stages["ingest"], undisturbed, ("images",), roots)

    def attempt(number: int, kills: int) -> None:
        workspace = copy_of(stages["nothing"], tmp_path / f"killed {number}")
        words = options(uploaded.url, workspace)
        for _ in range(kills):
            if not killer.kill("ingest", *words, folder=tmp_path):
                break
        run_here("ingest", *words)
        assert_same_tables(spark, stages["ingest"], workspace, ("images",), roots)
        run_here("clean", *words)
        assert orphans(spark, workspace) == []
        shutil.rmtree(workspace)

    killer.rounds(INGESTS, attempt)


def digests(folder: Path) -> dict[str, str]:
    """Return the MD5 of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def test_an_upload_that_is_killed_sends_every_image_whole(whole_survey, container, tmp_path):
    expected = digests(whole_survey)
    words = ["upload", str(whole_survey), f"{container.url}/undisturbed"]
    killer = Killer("upload", run_apart(*words, folder=tmp_path), env=KEY_ENV)

    def attempt(number: int, kills: int) -> None:
        words = ["upload", str(whole_survey), f"{container.url}/{number}"]
        for _ in range(kills):
            if not killer.kill(*words, folder=tmp_path):
                break
        run_here(*words)
        found = {}
        for blob in container.list_blobs(f"{number}/"):
            content = container.download_blob(blob.name).readall()
            assert blob.content_settings.content_md5 in (None, bytearray(hashlib.md5(content).digest()))
            found[blob.name.partition("/")[2]] = hashlib.md5(content).hexdigest()
        labels = found.pop("labels.csv")
        assert found == expected
        assert labels == hashlib.md5(container.download_blob("undisturbed/labels.csv").readall()).hexdigest()

    killer.rounds(UPLOADS, attempt)


def test_an_ingest_into_a_workspace_in_a_container_goes_on_when_the_lease_of_the_killed_one_ends(
    spark, survey, stages, surveys, tmp_path
):
    def fetched(folder):
        for blob in surveys.list_blobs(f"{folder}/tables/images/"):
            if not blob.name.endswith((".json", ".parquet")):  # Hadoop keeps an empty blob for each folder
                continue
            path = tmp_path / blob.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(surveys.download_blob(blob.name).readall())
        return tmp_path / folder

    words = ["ingest", *options(survey, f"az://{ACCOUNT}/surveys/undisturbed")]
    killer = Killer("ingest into Azurite", run_apart(*words, folder=tmp_path), env=KEY_ENV)
    assert_same_tables(spark, stages["ingest"], fetched("undisturbed"), ("images",))

    def attempt(number: int, kills: int) -> None:
        words = ["ingest", *options(survey, f"az://{ACCOUNT}/surveys/killed {number}")]
        lock = surveys.get_blob_client(f"killed {number}/.lock")
        for _ in range(kills):
            if not killer.kill(*words, folder=tmp_path):
                break
            while lock.exists() and lock.get_blob_properties().lease.state == "leased":
                time.sleep(0.2)
        run_apart(*words, folder=tmp_path)
        assert_same_tables(spark, stages["ingest"], fetched(f"killed {number}"), ("images",))

    killer.rounds(IN_THE_CLOUD, attempt)
