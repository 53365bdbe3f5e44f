"""Build the snapshot from columns of the tables images and predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import schemas
from pipelines.review import model_scores
from pipelines.review.columns import (
    NO_TIME,
    Coded,
    Ints,
    encode,
    find_rows,
    flatten,
    join_keys,
    newest_rows,
    to_hashes,
    to_micros,
)
from pipelines.review.model_scores import Floats, Model
from pipelines.review.snapshot import Bursts, Snapshot, hash_text

IMAGE_COLUMNS = (
    *("path", "content_hash", "label", "station", "captured_at", "burst_id", "group_id", "failure", "ingested_at"),
    *("removed_at", "content_path", "content_at"),
)
PREDICTION_COLUMNS = (
    *("path", "content_hash", "prediction", "score", "probabilities", "burst_prediction", "burst_score"),
    *("needs_review", "model_version", "model_name", "scored_at"),
)
LABEL_COLUMNS = tuple(schemas.parse_ddl(schemas.LABELS))


def build_snapshot(images: pa.Table, predictions: pa.Table | None, model: Model | None) -> Snapshot:
    """Return the snapshot of the tables.

    `images` has IMAGE_COLUMNS of all rows of the table, `predictions` PREDICTION_COLUMNS of the model's version.
    """
    ingested = to_micros(images["ingested_at"])
    newest = newest_rows(flatten(images["path"]), ingested)
    is_current = np.asarray(images["removed_at"].is_null().to_numpy()) & np.asarray(
        images["content_hash"].is_valid().to_numpy()
    )
    rows = newest[is_current[newest]]
    holders = _find_holders(images, rows, ingested)
    rows, holders = rows[holders >= 0], holders[holders >= 0]
    ids = _burst_ids(images, rows)
    times = to_micros(images["captured_at"])[rows]
    paths = flatten(images["path"].take(rows))
    order = np.lexsort((_rank(paths), times, _rank(ids.names)[ids.codes]))  # not as read: each start numbers alike
    rows, holders, ids, times = rows[order], holders[order], ids.take(order), times[order]
    current = images.take(rows)
    found = _find_predictions(current, predictions)
    burst_of, starts = _number_bursts(ids.codes)
    columns = _prediction_columns(predictions, found)
    failures, labels = encode(current["failure"]), encode(current["label"])
    groups = encode(current["group_id"])
    bursts = _describe_bursts(
        ids, starts, groups, times, failures, labels, columns, _dense(predictions, found, model), model
    )
    return Snapshot(
        flatten(current["path"]),
        to_hashes(current["content_hash"]),
        labels,
        encode(current["station"]),
        times,
        groups,
        failures,
        columns.prediction,
        columns.score,
        columns.burst_prediction,
        columns.burst_score,
        burst_of,
        holders,
        bursts,
        model,
    )


@dataclass(frozen=True)
class _Predicted:
    """Columns of the predictions, by row of the snapshot."""

    prediction: Coded
    score: NDArray[np.float64]
    burst_prediction: Coded
    burst_score: NDArray[np.float64]
    needs_review: NDArray[np.bool_]


def _find_holders(images: pa.Table, rows: Ints, ingested: Ints) -> Ints:
    """Return the row that holds the bytes of each of `rows`; -1 if it is gone."""
    holders = rows.copy()
    elsewhere = np.flatnonzero(images["content_path"].is_valid().to_numpy()[rows])
    if len(elsewhere):
        paths, moments = flatten(images["path"]), pa.array(ingested).cast(pa.string())
        part = images.select(["content_path", "content_at"]).take(rows[elsewhere])
        wanted = join_keys(part["content_path"], pa.array(to_micros(part["content_at"])).cast(pa.string()))
        all_keys = join_keys(paths, moments)
        unique = newest_rows(all_keys, np.arange(len(paths)))
        found = find_rows(wanted, all_keys.take(unique))
        holders[elsewhere] = np.where(found >= 0, unique[found], -1)
    return holders


def _burst_ids(images: pa.Table, rows: Ints) -> Coded:
    """Return the burst of each row; an image without a burst is one by itself."""
    part = images.select(["burst_id", "path"]).take(rows)
    return encode(pc.coalesce(part["burst_id"], part["path"]))


def _rank(texts: pa.Array) -> Ints:
    """Return the position of each text in alphabetical order."""
    ranks = np.empty(len(texts), np.int64)
    ranks[pc.sort_indices(texts).to_numpy()] = np.arange(len(texts))
    return ranks


def _find_predictions(current: pa.Table, predictions: pa.Table | None) -> Ints:
    """Return the row of predictions of each image; -1 without one."""
    if predictions is None or not predictions.num_rows:
        return np.full(current.num_rows, -1)
    keys = join_keys(predictions["path"], predictions["content_hash"])
    newest = newest_rows(keys, to_micros(predictions["scored_at"]))
    found = find_rows(join_keys(current["path"], current["content_hash"]), keys.take(newest))
    return np.where(found >= 0, newest[found], -1)


def _prediction_columns(predictions: pa.Table | None, found: Ints) -> _Predicted:
    if predictions is None or not len(found) or not predictions.num_rows:
        none = Coded(np.full(len(found), -1, np.int32), pa.array([], pa.string()))
        zeros = np.zeros(len(found))
        return _Predicted(none, zeros, none, zeros, zeros.astype(bool))
    taken = predictions.drop_columns(["probabilities"]).take(pa.array(found, mask=found < 0))

    def numbers(name: str) -> NDArray[np.float64]:
        return np.asarray(flatten(taken[name]).cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))

    return _Predicted(
        encode(taken["prediction"]),
        numbers("score"),
        encode(taken["burst_prediction"]),
        numbers("burst_score"),
        np.asarray(flatten(taken["needs_review"]).fill_null(False).to_numpy(zero_copy_only=False)),
    )


def _dense(predictions: pa.Table | None, found: Ints, model: Model | None) -> Floats | None:
    if predictions is None or model is None or not predictions.num_rows:
        return None
    dense = model_scores.dense_probabilities(predictions["probabilities"], model.classes)
    return None if dense is None else np.where((found >= 0)[:, None], dense[found], np.float32(0))


def _number_bursts(codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], Ints]:
    """Return the number of each row's burst, and the first row of each burst, for rows sorted by burst."""
    if not len(codes):
        return codes, np.zeros(1, np.int64)
    is_first = np.append(True, np.diff(codes) != 0)
    starts = np.append(np.flatnonzero(is_first), len(codes))
    return (np.cumsum(is_first) - 1).astype(np.int32), starts


def _describe_bursts(
    ids: Coded,
    starts: Ints,
    groups: Coded,
    times: Ints,
    failures: Coded,
    labels: Coded,
    predicted: _Predicted,
    dense: Floats | None,
    model: Model | None,
) -> Bursts:
    first = starts[:-1]
    names = ids.names.take(pa.array(ids.codes[first]))
    order = np.array([hash_text(name) for name in names.to_pylist()], np.uint64)
    is_readable, is_scored = failures.codes < 0, predicted.prediction.codes >= 0
    own_group = groups.codes[first]
    lone = own_group < 0  # an image without a group is one by itself
    own_group = np.where(lone, len(groups.names) + np.arange(len(first)), own_group).astype(np.int32)
    empty = not len(first)

    def any_frame(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.zeros(0, bool) if empty else np.logical_or.reduceat(values, first)

    strength = _strength(predicted, dense, model) * is_readable - 1.0 * ~is_readable
    known = times != NO_TIME
    margin = sought = np.zeros(len(first), np.float32)
    if dense is not None and model is not None and not empty:
        votes = model_scores.burst_probabilities(dense, first, model.max_weight)
        margin, sought = model_scores.margins(votes, model), model_scores.sought_probability(votes, model)
    elif model is not None and not empty:
        margin = np.maximum.reduceat(predicted.burst_score, first).astype(np.float32)
    burst_of = np.repeat(np.arange(len(first)), np.diff(starts))
    best_order = np.lexsort((-np.arange(len(burst_of)), strength, burst_of))  # the first of the strongest comes last
    return Bursts(
        names,
        starts,
        best_order[starts[1:] - 1] if not empty else first,
        own_group,
        np.zeros(0, np.int64) if empty else np.maximum.reduceat(np.where(known, times, NO_TIME), first),
        any_frame(is_readable),
        any_frame(is_readable) & ~any_frame(is_readable & (labels.codes < 0)),
        any_frame(is_scored),
        any_frame(predicted.needs_review & is_scored),
        margin,
        sought,
        order,
    )


def _strength(predicted: _Predicted, dense: Floats | None, model: Model | None) -> NDArray[np.float64]:
    """Return the probability of the burst's prediction on each image."""
    vote = predicted.burst_prediction
    if dense is None or model is None:
        same = np.array([predicted.prediction.find(name) for name in vote.names.to_pylist()] or [-2])
        agrees = same[vote.codes] == predicted.prediction.codes
        return np.where((vote.codes >= 0) & agrees, predicted.score, 0.0)
    columns = np.array([model.classes.index(n) if n in model.classes else -1 for n in vote.names.to_pylist()] or [-1])
    column = np.where(vote.codes >= 0, columns[vote.codes], -1)
    return np.where(column >= 0, dense[np.arange(len(dense)), column], 0.0).astype(np.float64)
