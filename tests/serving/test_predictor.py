"""A served model predicts images as the head predicts their features, with a failure for each that cannot be read."""

from __future__ import annotations

import base64
import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.backbones import load_backbone
from pipelines.engines.engine import EngineFactory
from pipelines.engines.graph_cache import load_or_convert
from pipelines.errors import ModelError
from pipelines.evaluation.burst_vote import aggregate_burst
from pipelines.serving.export import require_whole_views
from pipelines.serving.image_input import AllowedSources
from pipelines.serving.predictor import Predictor

from .models import LABELS, PHOTOS, assert_same, write

BACKBONES = ("irbis_tiny", "raw_pixels")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return the folder of converted networks: in precision fast, one takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(tmp_path_factory, cache):
    """Return a folder with a served model."""
    folder = tmp_path_factory.mktemp("model") / "model"
    write(folder, cache)
    return folder


@pytest.fixture(scope="module")
def predictor(model):
    with Predictor.load(model) as loaded:
        yield loaded


def features_of(name: str, images, flip: bool, precision, cache):
    """Return features as featurize computes them."""
    backbone = load_backbone(name, precision=precision, check=False)
    engine = EngineFactory(backbone, lambda: backbone.weights, lambda: load_or_convert(backbone, str(cache))).get("cpu")
    network = (lambda pixels: engine(np.ascontiguousarray(pixels[:, :, ::-1]))) if flip else engine
    return np.stack([each.features for each in backbone.embed(images, network)])


def probabilities(rows):
    return np.array([[row.probabilities[label] for label in LABELS] for row in rows])


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("names", [BACKBONES[:1], BACKBONES], ids=["one", "joined"])
def test_probabilities_are_those_of_the_features_of_featurize(names, flips, precision, tmp_path, cache):
    head = write(tmp_path / "model", cache, names, flips=flips, precision=precision)
    parts = {
        flip: np.concatenate([features_of(name, PHOTOS, flip, precision, cache) for name in names], axis=1)
        for flip in (False, True)
    }
    expected = head.predict(parts[False], parts[True] if flips else None)
    with Predictor.load(tmp_path / "model") as predictor:
        rows = predictor.predict(PHOTOS)
    np.testing.assert_allclose(probabilities(rows), expected, atol=1e-9)
    assert [row.prediction for row in rows] == [LABELS[i] for i in expected.argmax(axis=1)]
    assert [row.score for row in rows] == pytest.approx(expected.max(axis=1))
    assert np.ptp(expected[:, 0]) > 0.1  # they differ


def test_without_bursts_an_image_speaks_for_itself(predictor):
    for row in predictor.predict(PHOTOS):
        assert (row.burst_prediction, row.burst_score) == (row.prediction, pytest.approx(row.score))
        assert row.needs_review == (row.score < 0.8)
        assert (row.failure, row.failure_detail, row.model_version) == (None, None, "3")


def test_readable_frames_of_a_burst_vote_and_unnamed_ones_do_not(predictor):
    own = probabilities(predictor.predict(PHOTOS[:5]))
    rows = predictor.predict([*PHOTOS[:5], b"<html>"], ["a", "b", "a", None, None, "a"])
    vote = aggregate_burst(own, ["a", "b", "a", "c", "d"], 0.5)
    assert [row.burst_score for row in rows[:5]] == pytest.approx(vote.max(axis=1))
    np.testing.assert_array_equal(probabilities(rows[:5]), own)
    assert rows[0].burst_score == rows[2].burst_score != pytest.approx(rows[0].score)
    assert (rows[5].failure, rows[5].burst_prediction, rows[5].needs_review) == ("not_an_image", None, True)


def test_an_image_that_cannot_be_read_is_a_row_among_the_others(predictor):
    cut = PHOTOS[1][:600]
    images = [PHOTOS[0], None, base64.b64encode(cut).decode(), b"GIF89a", PHOTOS[3], bytes(200_000), "/no/such.jpg"]
    rows = predictor.predict(images)
    assert [row.failure for row in rows] == [
        *(None, "empty", "truncated", "truncated", None, "too_large", "vanished"),
    ]
    assert [row.score is None for row in rows] == [row.failure is not None for row in rows]
    failed = rows[2]
    assert (failed.prediction, failed.probabilities, failed.needs_review) == (None, {}, True)
    assert failed.failure_detail.startswith("JPEG: ")
    assert_same(rows[4:5], predictor.predict([PHOTOS[3]]))


def test_texts_paths_and_bytes_of_one_image_give_one_prediction(predictor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(PHOTOS[4])
    rows = predictor.predict([PHOTOS[4], base64.b64encode(PHOTOS[4]).decode(), str(tmp_path / "a.jpg")])
    assert rows[0] == rows[1] == rows[2]


def test_a_server_reads_no_file_that_is_not_allowed(model, tmp_path):
    (tmp_path / "a.jpg").write_bytes(PHOTOS[4])
    with Predictor.load(model, allowed=AllowedSources()) as served:
        (row,) = served.predict([str(tmp_path / "a.jpg")])
    assert (row.failure, "IRBIS_SERVE_FOLDERS" in row.failure_detail) == ("forbidden", True)


def test_concurrent_callers_get_their_own_rows(predictor):
    alone = [predictor.predict([photo])[0] for photo in PHOTOS]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda i: predictor.predict([PHOTOS[i]])[0], [*range(12)] * 3))
    assert together == alone * 3


def test_nothing_is_no_row_and_all_may_fail(predictor):
    assert predictor.predict([]) == []
    assert [row.failure for row in predictor.predict([b"", None])] == ["empty", "empty"]
    with pytest.raises(ModelError, match="2 images have 1 names of bursts"):
        predictor.predict([None, None], ["a"])


def test_torch_weights_replace_the_graph_where_the_engine_is_torch(tmp_path, cache):
    pytest.importorskip("torch")
    head = write(tmp_path / "model", cache, engine="torch")
    assert (tmp_path / "model/backbones/0/weights.safetensors").is_file()
    reference = load_backbone("irbis_tiny", check=False)
    expected = head.predict(np.stack([each.features for each in reference.embed(PHOTOS)]))
    with Predictor.load(tmp_path / "model") as predictor:
        np.testing.assert_allclose(probabilities(predictor.predict(PHOTOS)), expected, atol=1e-3)


def test_a_damaged_or_missing_model_is_refused(model, tmp_path):
    with pytest.raises(ModelError, match="holds no served model"):
        Predictor.load(tmp_path)
    copy = shutil.copytree(model, tmp_path / "copy")
    graph = copy / "backbones/0/graph.bin"
    graph.write_bytes(graph.read_bytes()[:-4] + b"1234")
    with pytest.raises(ModelError, match=r"backbones/0 is damaged \(graph\.bin has another SHA-256"):
        Predictor.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of another version of irbis"),
        ({"labels": None}, "cannot be read: TypeError"),
        ({"labels": ["a", "b", "c"]}, "2 classes, but 3 labels"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(model, tmp_path, change, message):
    copy = shutil.copytree(model, tmp_path / "copy")
    values = json.loads((copy / "model.json").read_text("utf-8"))
    (copy / "model.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(ModelError, match=message):
        Predictor.load(copy)


def test_a_version_that_looks_at_crops_cannot_be_served():
    require_whole_views("a@1/squash160+b@2/squash224", "irbis/1")
    with pytest.raises(ModelError, match=r"irbis/1 cannot be served: it also looks at crops \(motion\)"):
        require_whole_views("a@1/squash160+a@1/squash160/motion1", "irbis/1")
