"""A thousand faults of a store while it is read and written: nothing is lost, nothing doubled."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.azurite import ACCOUNT, KEY
from tests.fault_proxy import fault_proxy

from ..same_tables import assert_same_tables
from .killing import options, run_here

pytestmark = pytest.mark.kills

FAULTS = ("503", "429", "cut", "reset", "corrupt", "slow")
SHARE, WANTED, STALLS, PASSES = 0.5, 1000, 40, 40


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("IRBIS_AZURE__ACCOUNT_KEY", KEY)


def address(proxy, container, folder=""):
    return f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}{folder}"


def test_what_is_read_through_a_thousand_faults_is_whole(spark, survey, stages, uploaded, azurite, tmp_path):
    faults = dict.fromkeys((*FAULTS, "stall"), 0)
    for number in range(PASSES):
        # One that stalls takes 15 seconds: the first pass has them all.
        kinds, share = (("stall",), 0.25) if faults["stall"] < STALLS else (FAULTS, SHARE)
        workspace = tmp_path / f"workspace {number}"
        with fault_proxy(azurite.port, share, kinds, seed=number) as proxy:
            words = [
                *options(address(proxy, uploaded), workspace),
                "--set=ingest.files_per_commit=1000",
                "--set=ingest.threads=64",
            ]
            run_here("ingest", *words)
            proxy.share = 0.0  # what was given up is asked for again by the next run
            run_here("ingest", *words)
            assert_same_tables(
                spark, stages["ingest"], workspace, ("images",), (f"file://{survey}", address(proxy, uploaded))
            )
        for kind in faults:
            faults[kind] += proxy.met[kind]
        if sum(faults.values()) >= WANTED:
            break
    print(f"\nread through {faults}")
    assert sum(faults.values()) >= WANTED and min(faults.values()) >= STALLS, faults


def test_what_is_sent_through_faults_arrives_whole(whole_survey, container, azurite):
    words = ["upload", str(whole_survey)]
    with fault_proxy(azurite.port, SHARE, ("503", "cut", "reset"), seed=1) as proxy:
        with suppress(AssertionError):  # what was given up is named, and sent by the next
            run_here(*words, address(proxy, container, "/set"))
        proxy.share = 0.0
        run_here(*words, address(proxy, container, "/set"))
    assert proxy.met["503"] + proxy.met["cut"] + proxy.met["reset"] >= 100
    files = [path for path in whole_survey.rglob("*") if path.is_file()]
    expected = {f"set/{path.relative_to(whole_survey)}": path.read_bytes() for path in files}
    found = {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs("set/")}
    assert found.pop("set/labels.csv").count(b"\n") == len(expected) + 1
    assert found == expected
