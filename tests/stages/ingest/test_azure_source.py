"""Ingest from a container of Azurite: the rows equal those of the folder, whatever network errors occur."""

from __future__ import annotations

import pytest
from pyspark.sql import functions as F

from pipelines.azure.retry import RetryPolicy
from pipelines.errors import AccessError
from pipelines.sources.stores import azure_blob
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables
from tests.azurite import ACCOUNT, KEY
from tests.fault_proxy import fault_proxy

from ..conftest import jpeg

SAME = ["relative", "content_hash", "content", "size", "label", "captured_at", "width", "height", "failure"]


def upload(container, images, folder=""):
    for name, content in images.items():
        container.upload_blob(f"{folder}{name}", content, overwrite=True)


def settings_of(make_settings, address, workspace, **more):
    return make_settings(
        {"sources.images": address, "azure.account_key": KEY, "workspace": str(workspace), "sources.labels": "folder"}
        | more
    )


def rows(spark, settings, root):
    images = Tables.of(spark, settings).read("images")
    return images.withColumn("relative", F.expr(f"substring(path, {len(root) + 1})")).select(*SAME)


def test_the_rows_are_those_of_the_folder_and_a_second_run_reads_nothing(
    spark, make_settings, container, draw, survey, tmp_path
):
    images = {**survey, "S0/plain/bad.jpg": b"<html>", "S1/striped/0.jpg": b"", "S0/plain/a+b %20#?.jpg": jpeg(9, 9)}
    folder = draw(images)
    upload(container, images, "2024/")
    here = make_settings({"sources.images": str(folder), "workspace": str(tmp_path / "a")})
    there = settings_of(make_settings, f"{container.url}/2024", tmp_path / "b")
    assert ingest.run(spark, here).failures == ingest.run(spark, there).failures == {"empty": 1, "not_an_image": 1}
    one, other = rows(spark, here, f"file://{folder}/"), rows(spark, there, f"{container.url}/2024/")
    assert one.count() == other.count() == len(images)
    assert one.exceptAll(other).count() == other.exceptAll(one).count() == 0
    tables = Tables.of(spark, there)
    version = tables.version("images")
    assert ingest.run(spark, there).read == 0 and tables.version("images") == version
    upload(container, {"S1/plain/new.jpg": jpeg(200, 1), "S0/plain/000_0.jpg": jpeg(201, 2)}, "2024/")
    container.delete_blob("2024/S0/plain/000_1.jpg")
    result = ingest.run(spark, there)
    assert result.read == 2
    assert any("1 image is gone from the source" in note for note in result.notes)


def test_under_faults_every_image_comes_whole(spark, make_settings, container, azurite, survey, tmp_path):
    upload(container, survey)
    with fault_proxy(azurite.port, 0.25, ("503", "429", "cut", "reset", "corrupt", "slow")) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}"
        settings = settings_of(make_settings, address, tmp_path / "w")
        result = ingest.run(spark, settings)
        found = {
            row["path"].removeprefix(f"{address}/"): bytes(row["content"])
            for row in Tables.of(spark, settings).read("images").collect()
        }
    assert (result.read, result.failures) == (180, {})
    assert found == survey
    assert all(proxy.met[fault] for fault in proxy.faults), proxy.met


def test_too_many_unreadable_files_stop_the_job_before_it_writes(
    spark, make_settings, container, azurite, survey, tmp_path, monkeypatch
):
    monkeypatch.setattr(azure_blob, "BACKGROUND_RETRY", RetryPolicy(tries=2, first_wait=0.01))
    upload(container, dict(list(survey.items())[:40]))
    with fault_proxy(azurite.port, 1.0, ("503",)) as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}/{ACCOUNT}/{container.container_name}"
        settings = settings_of(make_settings, address, tmp_path / "w")
        with pytest.raises(
            AccessError, match=r"40 of 40 images could not be read, first http.*unavailable: 503 .* times in"
        ):
            ingest.run(spark, settings)
        assert not Tables.of(spark, settings).exists("images")
        proxy.share = 0.0
        assert ingest.run(spark, settings).written == 40
