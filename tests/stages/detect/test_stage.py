"""The stage on real Spark: rows of the table detections by a detector that finds the bright part of an image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import DataError, SettingsError
from pipelines.images.crop import Box
from pipelines.stages.detect import stage as detect
from pipelines.stages.featurize import stage as featurize
from pipelines.stages.ingest import stage as ingest
from pipelines.workspace.detections import newest_detections
from pipelines.workspace.tables import Tables

from ...detectors import SCORE, bright_yolo, constant_output, save
from ..conftest import changed

BOXES = {"a": Box(0.25, 0.5, 0.5, 0.25), "b": None, "c": Box(0.5, 0.0, 0.25, 0.5), "d": Box(0.0, 0.0, 1.0, 1.0)}


def png(box: Box | None, shade: int = 60) -> bytes:
    pixels = np.full((64, 128, 3), shade, np.uint8)
    if box:
        x, y, width, height = (round(side * edge) for side, edge in zip((128, 64) * 2, box, strict=True))
        pixels[y : y + height, x : x + width] = 255
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def settings(spark, make_settings, draw, tmp_path):
    images = {f"{name}.png": png(box) for name, box in BOXES.items()}
    cut = png(Box(0.1, 0.1, 0.3, 0.3))
    folder = draw({**images, "copy.png": images["a.png"], "empty.png": b"", "cut.png": cut[: len(cut) * 2 // 3]})
    chosen = make_settings({"sources.images": str(folder), "sources.labels": "none"})
    ingest.run(spark, chosen)
    return changed(chosen, "detect", detector=save(bright_yolo(), tmp_path))


def stored(spark, settings):
    """Return {file: its rows} of all detections."""
    rows: dict[str, list] = {}
    for row in Tables.of(spark, settings).read("detections").orderBy("path", "number").collect():
        rows.setdefault(row["path"].rpartition("/")[2], []).append(row)
    return rows


def test_boxes_nothing_and_failures_are_rows_and_a_repeated_run_adds_none(spark, settings):
    result = detect.run(spark, settings)
    assert (result.read, result.written, result.failed) == (6, 4, 2)
    assert result.outcome == (
        "3 boxes in 3 images, by bright.xml (64 x 64, columns, from 0.1: animal, person, vehicle)"
    )
    rows = stored(spark, settings)
    assert set(rows) == {"a.png", "b.png", "c.png", "cut.png", "d.png", "empty.png"}
    for name, box in BOXES.items():
        (row,) = rows[f"{name}.png"]
        assert (row["source"], row["file"], row["failure"]) == ("detect", "bright.xml", None)
        if box is None:
            assert (row["number"], row["category"], row["x"]) == (-1, None, None)
        else:
            assert (row["number"], row["category"], row["score"]) == (0, "animal", pytest.approx(SCORE))
            assert [row[edge] for edge in Box._fields] == pytest.approx(list(box), abs=1e-6)
    assert [(rows[name][0]["number"], rows[name][0]["failure"]) for name in ("empty.png", "cut.png")] == [
        (-1, "empty"),
        (-1, "truncated"),
    ]
    again = detect.run(spark, settings)
    assert (again.read, again.written, again.notes) == (0, 0, ())
    assert stored(spark, settings) == rows


def test_a_killed_run_continues_and_ends_with_the_same_rows(spark, settings, monkeypatch):
    small = changed(settings, "detect", images_per_commit=2)
    append, commits = Tables.append, []

    def append_or_die(self, name, rows, **options):
        if len(commits) == 2:
            raise KeyboardInterrupt
        commits.append(name)
        return append(self, name, rows, **options)

    monkeypatch.setattr(Tables, "append", append_or_die)
    with pytest.raises(KeyboardInterrupt):
        detect.run(spark, small)
    monkeypatch.undo()
    assert commits == ["detections", "detections"]
    assert detect.run(spark, small).read == 2
    assert sum(map(len, stored(spark, settings).values())) == 6


def test_the_newest_detector_is_in_force_and_a_former_one_is_not_run_again(spark, settings, tmp_path):
    detect.run(spark, settings)
    other = changed(settings, "detect", detector=save(bright_yolo(category=2), tmp_path, "second"))
    assert detect.run(spark, other).read == 6
    tables = Tables.of(spark, settings)
    newest = newest_detections(tables).where("number >= 0")
    assert {row["category"] for row in newest.collect()} == {"vehicle"} and newest.count() == 3
    back = detect.run(spark, settings)
    assert back.read == 0
    assert back.notes == ("4 images of this detector have newer detections, which stay in force.",)
    high = changed(other, "detect", threshold=0.95)
    result = detect.run(spark, high)
    assert (result.read, result.outcome.partition(",")[0]) == (6, "0 boxes in 0 images")
    assert newest_detections(tables).where("number >= 0").count() == 0


def test_crops_are_around_the_boxes_and_follow_newer_ones(spark, settings):
    dog = changed(settings, "detect", classes=["dog", "cat", "rest"], categories={"dog": "animal"})
    detect.run(spark, dog)
    views = changed(dog, "featurize", views=["whole", "detection"])
    featurize.run(spark, views)
    tables = Tables.of(spark, settings)
    regions = tables.read("regions").join(tables.latest_images().select("content_hash", "path"), "content_hash")
    found = {row["path"].rpartition("/")[2]: (row["x"], row["fallback"]) for row in regions.collect()}
    assert found["b.png"] == (None, "no_detection") and found["c.png"][1] is None
    assert found["c.png"][0] == pytest.approx(0.4375)  # a square of 48 pixels around 32 x 32 at the upper edge
    assert featurize.run(spark, views).read == 0


def test_a_detector_that_gives_nan_for_an_image_fails_that_image_only(spark, settings, tmp_path):
    import openvino.opset13 as ops

    model = bright_yolo()
    output = model.outputs[0].get_node().input_value(0)
    worst = ops.reduce_max(model.inputs[0], np.array([0, 1, 2, 3]), False)
    ratio = ops.sqrt(ops.subtract(np.float32(0.99), worst))  # NaN with a bright part
    model.get_results()[0].input(0).replace_source_output(ops.add(output, ops.multiply(ratio, np.float32(0))).output(0))
    model.validate_nodes_and_infer_types()
    settings = changed(settings, "detect", detector=save(model, tmp_path, "nan"))
    result = detect.run(spark, settings)
    assert result.failures["invalid_output"] == 3 and result.written == 1
    (row,) = stored(spark, settings)["a.png"]
    assert (row["number"], row["failure"]) == (-1, "invalid_output") and "not finite" in row["failure_detail"]
    assert newest_detections(Tables.of(spark, settings)).count() == 1


def test_settings_that_do_not_fit_are_refused_before_any_work(spark, settings, tmp_path):
    with pytest.raises(SettingsError, match=r"detect\.categories names wolf, which is not among detect\.classes"):
        detect.run(spark, changed(settings, "detect", categories={"wolf": "animal"}))
    with pytest.raises(SettingsError, match="names a twice"):
        detect.run(spark, changed(settings, "detect", classes=["a", "b", "a"]))
    with pytest.raises(DataError, match="With 2 classes"):
        detect.run(spark, changed(settings, "detect", classes=["a", "b"]))
    flat = save(constant_output(np.zeros((1, 7))), tmp_path, "flat")
    with pytest.raises(DataError, match=r"have the shapes \(1, 7\)"):
        detect.run(spark, changed(settings, "detect", detector=flat))
    assert not Tables.of(spark, settings).exists("detections")
