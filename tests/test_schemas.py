"""The columns of the tables are a contract: these names and types, new ones only at the end."""

from __future__ import annotations

import pytest

from pipelines.schemas import FEATURES, IMAGES, PREDICTIONS, Failure, parse_ddl

CONTRACT = {
    "images": (
        IMAGES,
        "path string, content_hash string, content binary, size long, modified_at timestamp, etag string, "
        "label string, station string, captured_at timestamp, burst_id string, group_id string, width int, "
        "height int, failure string, ingested_at timestamp",
        "failure_detail string, camera string, burst_rule string, file_series string, file_number long, "
        "removed_at timestamp, content_path string, content_at timestamp",
    ),
    "features": (
        FEATURES,
        "content_hash string, backbone string, features array<float>, failure string, featurized_at timestamp",
        "failure_detail string, fallback string",
    ),
    "predictions": (
        PREDICTIONS,
        "path string, content_hash string, prediction string, score double, probabilities map<string,double>, "
        "burst_id string, burst_prediction string, burst_score double, needs_review boolean, model_name string, "
        "model_version string, backbone string, failure string, scored_at timestamp",
        "review_rule string",
    ),
}


@pytest.mark.parametrize("table", CONTRACT)
def test_a_table_has_the_agreed_columns_and_additions_at_the_end(table):
    schema, agreed, added = CONTRACT[table]
    written = ", ".join(f"{name} {kind}" for name, kind in parse_ddl(schema).items())
    assert written == ", ".join(filter(None, (agreed, added)))


def test_failures_have_the_agreed_names():
    agreed = {"empty", "not_an_image", "unsupported_format", "truncated", "too_large", "vanished", "unreadable"}
    added = {"changed", "forbidden", "unavailable", "too_complex", "too_slow", "crashed", "invalid_output"}
    assert {str(failure) for failure in Failure} == agreed | added


def test_only_what_may_pass_is_tried_again():
    assert [str(failure) for failure in Failure if failure.is_transient] == [
        "vanished",
        "changed",
        "forbidden",
        "unavailable",
    ]
