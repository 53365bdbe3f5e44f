"""torch and OpenVINO, raw pixels, and batches of any size."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.backbones import load_backbone
from pipelines.spark.runtime import sql_conf
from pipelines.stages.featurize import stage as featurize
from pipelines.workspace.tables import Tables

from ..conftest import MIXED, changed, jpeg


@pytest.fixture
def settings(mixed):
    return mixed


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
