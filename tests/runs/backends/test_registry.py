"""A backend is one file: nothing else has to know of it."""

from __future__ import annotations

import pytest

from pipelines.cli.submit import BACKENDS
from pipelines.errors import SettingsError
from pipelines.runs import backends
from pipelines.runs.backends.registry import get_backend, known_backends

TOY = """
PATTERN, EXAMPLES = "toy://.+", "toy://NAME"

def create(name, settings, files):
    return {"name": name, "workspace": settings.workspace, "files": files}
"""


def test_a_new_backend_is_one_new_file(tmp_path, monkeypatch, make_settings):
    (tmp_path / "toy_backend.py").write_text(TOY)
    monkeypatch.setattr(backends, "__path__", [*backends.__path__, str(tmp_path)])
    settings = make_settings()
    found = get_backend("toy://box", settings, None)
    assert found == {"name": "toy://box", "workspace": settings.workspace, "files": None}
    with pytest.raises(SettingsError, match=r"Known: databricks, hdinsight, a Spark master: .*, or toy://NAME"):
        get_backend("toy:", settings)


def test_the_help_of_submit_names_the_known_backends():
    assert known_backends() == BACKENDS


def test_a_backend_that_nobody_submits_to_is_not_offered(make_settings):
    assert type(get_backend("local", make_settings())).__name__ == "LocalBackend"
    with pytest.raises(SettingsError) as error:
        get_backend("mars", make_settings())
    assert str(error.value) == (
        "--on mars: there is no such backend. Known: databricks, hdinsight, or a Spark master: yarn, "
        "spark://HOST:PORT, k8s://https://HOST:PORT."
    )
