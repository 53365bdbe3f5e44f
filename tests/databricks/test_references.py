"""References: what they stand for, in which type, and what is left as it is."""

from __future__ import annotations

import pytest

from pipelines.databricks.references import Resolver
from pipelines.errors import SettingsError

TREE = {"bundle": {"name": "irbis"}, "workspace": {"current_user": {}, "root_path": "/r/${bundle.name}"}}
VALUES = {"count": 4, "tree": {"a": ["x", "${var.count}"]}, "hyphened-name": "h", "of_itself": "${var.of_itself}"}


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("${var.count}", 4),
        ("n${var.count}", "n4"),
        ("${var.tree}", {"a": ["x", 4]}),
        ("${var.tree.a[0]}", "x"),
        ("${var.hyphened-name}", "h"),
        ("${workspace.root_path}/${bundle.name}", "/r/irbis/irbis"),
        ("${var.missing}", "${var.missing}"),
        ("${var.tree.a[7]}", "${var.tree.a[7]}"),
        ("${workspace.current_user.userName}", "${workspace.current_user.userName}"),
        ("${resources.jobs.nightly.id}", "${resources.jobs.nightly.id}"),
        ("{{secrets/irbis/sas}}", "{{secrets/irbis/sas}}"),
        ("{{job.parameters.plan}}", "{{job.parameters.plan}}"),
        (["${var.count}", {"k": "${bundle.name}"}], [4, {"k": "irbis"}]),
        (None, None),
    ],
)
def test_a_reference_stands_for_its_value_or_stays(value, meaning):
    assert Resolver(TREE, VALUES).resolve(value) == meaning


def test_a_reference_to_itself_is_refused():
    with pytest.raises(SettingsError, match=r"^databricks.yml: .* refers to itself\. Give a variable in the cycle"):
        Resolver(TREE, {"a": "${var.b}", "b": "x${var.a}"}).resolve(["${var.a}"])
