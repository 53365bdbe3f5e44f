from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.errors import DataError
from pipelines.spark.runtime import sql_conf
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.featurize.stage import featurize_udf
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.tables import Tables

from ..conftest import MIXED, changed, jpeg


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def settings(mixed):
    return mixed


def test_every_content_gets_one_row_with_the_features_of_its_bytes(spark, settings, single_precision):
    result = featurize.run(spark, settings)
    assert (result.read, result.written, result.failures) == (4, 2, {"empty": 1, "truncated": 1})
    table = Tables.of(spark, settings).read("features")
    found = {row["content_hash"]: row for row in table.collect()}
    assert len(found) == table.count() == 4
    expected = load_backbone("irbis_tiny").embed([MIXED["a.jpg"], MIXED["c.jpg"]])
    hashes = {row["path"][-5:]: row["content_hash"] for row in Tables.of(spark, settings).latest_images().collect()}
    for name, embedding in zip(("a.jpg", "c.jpg"), expected, strict=True):
        np.testing.assert_allclose(found[hashes[name]]["features"], embedding.features, atol=1e-5)
    assert hashes["a.jpg"] == hashes["d.jpg"]
    assert (found[hashes["b.jpg"]]["features"], found[hashes["b.jpg"]]["failure"]) == (None, "empty")
    assert (found[hashes["e.jpg"]]["features"], found[hashes["e.jpg"]]["failure"]) == (None, "truncated")


def test_what_only_decoding_finds_broken_is_counted_with_its_reason(spark, make_settings, draw):
    whole = png(48, 36)
    broken = whole.replace(b"IDAT", b"IDAT\0\0\0\0", 1)[: len(whole)]
    chosen = make_settings({"sources.images": str(draw({"a.png": whole, "b.png": broken})), "sources.labels": "none"})
    assert ingest.run(spark, chosen).failures == {}
    result = featurize.run(spark, chosen)
    assert (result.read, result.written, result.failures) == (2, 1, {"unreadable": 1})


def test_only_what_a_backbone_lacks_is_computed(spark, settings, make_settings, draw):
    featurize.run(spark, settings)
    assert featurize.run(spark, settings).read == 0
    draw({"new.jpg": jpeg(200, 9)})
    ingest.run(spark, settings)
    assert featurize.run(spark, settings).read == 1
    padded = settings.model_copy(update={"images": settings.images.model_copy(update={"resize_mode": "pad"})})
    assert featurize.run(spark, padded).read == 5  # another preprocessing is another backbone
    counts = Tables.of(spark, settings).read("features").groupBy("backbone").count().collect()
    assert sorted(row["count"] for row in counts) == [5, 5]


def probe_workers(spark, probe):
    """Return {process id: result of `probe`, as texts} of the Python workers that run such tasks."""

    def look(batches):
        time.sleep(0.2)  # so that both workers take part
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"process": [os.getpid()], "result": [list(map(str, probe()))]})

    rows = spark.range(4).repartition(4).mapInArrow(look, "process long, result array<string>").collect()
    return {row["process"]: row["result"] for row in rows}


def engines_of_workers(spark):
    """Return {process id: ids of its engine objects}."""

    def engines():
        from pipelines.engines import engine

        return [f"{key} {id(each)}" for key, each in engine._engines.items()]

    return {process: set(values) for process, values in probe_workers(spark, engines).items()}


def test_a_worker_builds_its_network_once_for_all_tasks_commits_and_runs(spark, settings):
    several = changed(settings, "featurize", images_per_commit=1)
    featurize.run(spark, several)
    before = {process: each for process, each in engines_of_workers(spark).items() if each}
    Tables.of(spark, settings).delete("features", F.lit(True))
    assert featurize.run(spark, several).read == 4
    after = engines_of_workers(spark)
    identity = load_backbone("irbis_tiny").feature_id
    assert before and all(each <= after[process] for process, each in before.items() if process in after)
    for each in after.values():
        assert sum(identity in name for name in each) <= 1


def test_what_a_worker_has_loaded_is_not_walked_through_after_every_task(spark, settings):
    featurize.run(spark, settings)
    values = probe_workers(spark, lambda: [gc.get_freeze_count(), len(gc.get_objects())])
    kept, walked = max((int(kept), int(walked)) for kept, walked in values.values())
    assert kept > 20_000 and walked < kept / 2


@pytest.mark.process
def test_a_worker_imports_neither_torch_nor_spark_sql_nor_pandas_nor_the_settings():
    heavy = "torch", "pandas", "pydantic", "yaml", "delta", "sklearn", "mlflow", "pyspark"
    code = "import sys, pipelines.engines.arrow, pipelines.engines.openvino_engine; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pipelines.backbones.backbone" in done.stdout.split()
    assert not set(heavy) & set(done.stdout.split())


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_torch_and_openvino_fill_the_table_alike(spark, settings, precision):
    found = {}
    for engine in ("torch", "openvino"):
        featurize.run(spark, changed(settings, "featurize", engine=engine, precision=precision, batch_size=3))
        tables = Tables.of(spark, settings)
        rows = tables.read("features").collect()
        assert {row["backbone"].endswith("/fast") for row in rows} == {precision == "fast"}
        found[engine] = {row["content_hash"]: (row["failure"], row["features"]) for row in rows}
        tables.delete("features", F.lit(True))
    assert {key: each[0] for key, each in found["torch"].items()} == {
        key: each[0] for key, each in found["openvino"].items()
    }
    for key, (failure, features) in found["torch"].items():
        if not failure:
            other = np.array(found["openvino"][key][1])
            cosine = np.dot(features, other) / np.linalg.norm(features) / np.linalg.norm(other)
            assert cosine > (0.9999 if precision == "exact" else 0.98)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_raw_pixels_go_the_same_way_as_every_backbone(spark, settings, engine):
    result = featurize.run(spark, changed(settings, "featurize", backbone="raw_pixels", engine=engine))
    assert (result.read, result.written, result.outcome) == (4, 2, "raw_pixels@none/squash32-bilinear")
    rows = Tables.of(spark, settings).read("features").where("failure is null").collect()
    found = sorted(tuple(row["features"][:2]) for row in rows)
    expected = load_backbone("raw_pixels").embed([MIXED["a.jpg"], MIXED["c.jpg"]])
    assert [len(row["features"]) for row in rows] == [3072, 3072]
    np.testing.assert_allclose(found, sorted(tuple(each.features[:2]) for each in expected), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_batches_of_the_network_cross_those_of_arrow(spark, batch_size, single_precision):
    contents = [jpeg(40 + 10 * n, n) if n % 3 else b"" for n in range(11)]
    rows = spark.createDataFrame(
        [(str(n), each) for n, each in enumerate(contents)], "content_hash string, content binary"
    )
    backbone = load_backbone("irbis_tiny")
    with sql_conf(spark, spark__sql__execution__arrow__maxRecordsPerBatch=3):
        found = featurize.featurize(rows.coalesce(1), backbone, batch_size=batch_size, device="cpu").collect()
    assert [row["content_hash"] for row in found] == [str(n) for n in range(11)]
    assert [row["failure"] for row in found] == [None if n % 3 else "empty" for n in range(11)]
    expected = list(backbone.embed(contents))
    for row, each in zip(found, expected, strict=True):
        if each.features is not None:
            np.testing.assert_allclose(row["features"], each.features, atol=1e-4)


def test_several_commits_give_the_same_rows_as_one(spark, settings):
    assert featurize.run(spark, changed(settings, "featurize", images_per_commit=1)).read == 4
    tables = Tables.of(spark, settings)
    assert tables.read("features").select("content_hash").distinct().count() == 4
    assert tables.version("features") == 3


def test_late_images_in_several_commits_all_get_their_features(spark, settings, draw):
    featurize.run(spark, settings)
    draw({f"late{n}.jpg": jpeg(150, 50 + n) for n in range(4)})
    ingest.run(spark, settings)
    assert featurize.run(spark, changed(settings, "featurize", images_per_commit=1)).read == 4
    tables = Tables.of(spark, settings)
    assert tables.read("features").count() == tables.read("features").select("content_hash").distinct().count() == 8
    assert tables.version("features") == 4


def test_the_udf_for_notebooks_gives_arrays_and_null_for_bad_images(spark, settings, single_precision):
    images = Tables.of(spark, settings).read("images").orderBy("path")
    found = [row[0] for row in images.select(featurize_udf("irbis_tiny")("content")).collect()]
    (expected,) = load_backbone("irbis_tiny").embed([MIXED["c.jpg"]])
    np.testing.assert_allclose(found[2], expected.features, atol=1e-5)
    assert [each is None for each in found] == [False, True, False, False, True]
    assert images.select(F.size(featurize_udf("irbis_tiny")("content"))).first()[0] == len(expected.features)


def test_without_images_the_error_says_what_to_run(spark, make_settings):
    with pytest.raises(DataError, match="`irbis ingest --images DIR`"):
        featurize.run(spark, make_settings())


def test_every_awkward_file_keeps_its_row_through_both_stages(spark, make_settings, shared_data):
    settings = make_settings({"sources.images": str(shared_data / "awkward"), "sources.labels": "none"})
    result = ingest.run(spark, settings)
    assert result.read == 50
    featurize.run(spark, settings)
    tables = Tables.of(spark, settings)
    decoded = tables.read("features").select("content_hash", F.col("failure").alias("decoding"))
    found = tables.latest_images().join(decoded, "content_hash", "left")
    failures = {
        row["path"].rpartition("/")[2]: row["failure"] or row["decoding"]
        for row in found.select("path", "failure", "decoding").collect()
    }
    assert len(failures) == 50
    assert {name: failure for name, failure in failures.items() if failure} == {
        "animl__zero_bytes_error_img.JPG": "empty",
        "made__bomb_30000x30000.png": "too_large",
        "made__bomb_warning_12000x9000.png": "too_large",
        "made__html_named.jpg": "not_an_image",
        "made__progressive_cut_half.jpg": "truncated",
        "made__text_named.jpeg": "not_an_image",
        "pillow__broken.png": "unreadable",
        "pillow__decompression_bomb.gif": "too_large",
        "pillow__truncated_image.png": "truncated",
        "pillow__truncated_jpeg.jpg": "truncated",
        "pngsuite__xs1n0g01.png": "not_an_image",
        "skimage__truncated.jpg": "truncated",
        "speciesnet__african_elephants_truncated_file.jpg": "truncated",
    }
