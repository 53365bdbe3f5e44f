"""Sources under names, as a user types it: register, list, read, look, forget; labels that lie in the container."""

from __future__ import annotations

import json

from tests.azurite import KEY

from ..stages.conftest import survey_images
from .conftest import closing_lines


def some(count):
    return dict(list(survey_images().items())[:count])


def test_a_dataset_is_registered_listed_read_shown_and_forgotten(irbis_here, tmp_path):
    for name, content in {**some(12), "S0/plain/bad.jpg": b""}.items():
        (tmp_path / "survey" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "survey" / name).write_bytes(content)
    where = ["--workspace", "w"]
    assert (
        irbis_here("datasets", *where).stdout == "No dataset is registered yet: irbis datasets add NAME --images DIR\n"
    )
    add = ["datasets", "add", "peru", *where, "--images", "survey", "--set", "sources.station=folder:1"]
    assert f"datasets: peru registered: file://{tmp_path}/survey/; read it with" in irbis_here(*add).stdout
    assert "peru updated" in irbis_here(*add).stdout
    listed = irbis_here("datasets", *where).stdout.splitlines()
    assert [line.split() for line in listed] == [
        ["name", "images", "last", "ingest", "source"],
        ["peru", "0", "never", f"{tmp_path}/survey"],
    ]
    (tmp_path / "elsewhere").mkdir()
    line = closing_lines(irbis_here("ingest", "--dataset", "peru", *where).stdout)["ingest"]
    assert "ingest: 13 read, 12 written, 1 failed (1 empty)" in line
    found = json.loads(irbis_here("datasets", "show", "peru", "--json", *where).stdout)
    assert (found["image_count"], found["station"], found["failures"]) == (13, "folder:1", {"empty": 1})
    assert sum(found["labels_found"].values()) + found["unlabelled"] == 13
    assert found["labels_found"]["plain"] >= 1 and found["bytes"] == sum(map(len, some(12).values()))
    assert found["captured"][0] == "2024-06-01 00:00:00" and found["last_ingest"] is not None
    text = irbis_here("datasets", "show", "peru", *where).stdout
    assert "captured     2024-06-01 00:00 to 2024-06-0" in text and "failures     1 empty" in text
    assert irbis_here("status", *where, "--dataset", "peru", "--json").stdout.count('"ingest": 0') == 1
    assert "peru removed" in irbis_here("datasets", "remove", "peru", *where).stdout
    err = irbis_here("ingest", "--dataset", "peru", *where, code=2).stderr
    assert "There is no dataset 'peru'. No dataset is registered yet. Register it: irbis datasets add peru" in err


def test_what_cannot_be_a_dataset_is_told(irbis_here, tmp_path):
    (tmp_path / "survey").mkdir()
    add = ["datasets", "add", "--workspace", "w", "--images", "survey"]
    assert "'a b' is not a valid dataset name" in irbis_here(*add, "a b", code=2).stderr
    assert "there is no such file" in irbis_here(*add, "a", "--labels", "gone.csv", code=2).stderr
    assert "does not exist. Give a folder" in irbis_here("datasets", "add", "a", "--images", "gone", code=2).stderr
    assert "Give one of them" in irbis_here("run", "--images", "survey", "--dataset", "a", code=2).stderr
    assert "unexpected extra argument" in irbis_here("datasets", "--workspace", "w", "show", "a", code=2).stderr
    assert not (tmp_path / "w" / "tables").exists()


def test_labels_are_read_from_the_container_where_upload_put_them(irbis_here, container, tmp_path):
    for name, content in some(12).items():
        (tmp_path / "survey" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "survey" / name).write_bytes(content)
    key = {"IRBIS_AZURE__ACCOUNT_KEY": KEY}
    irbis_here("upload", "survey", f"{container.url}/2024", "--set", "sources.labels=folder:1", env=key)
    labels = ["--labels", f"{container.url}/2024/labels.csv"]
    words = ["--images", f"{container.url}/2024", *labels, "--workspace", "w"]
    irbis_here("datasets", "add", "cloud", *words, env=key)
    done = irbis_here("ingest", "--dataset", "cloud", "--workspace", "w", env=key)
    assert done.stderr.splitlines()[0] == f"dataset cloud: {container.url}/2024"
    line = closing_lines(done.stdout)["ingest"]
    assert "ingest: 12 read, 12 written" in line
    found = json.loads(irbis_here("datasets", "show", "cloud", "--json", "--workspace", "w", env=key).stdout)
    stations = {name.partition("/")[0] for name in some(12)}
    assert (set(found["labels_found"]), found["unlabelled"]) == (stations, 0)
    gone = ["--labels", f"{container.url}/2024/gone.csv", "--images", f"{container.url}/2024", "--workspace", "w"]
    assert "gone.csv cannot be read (BlobNotFound). Is it there?" in irbis_here("ingest", *gone, code=2, env=key).stderr
    other = ["--labels", "az://another/c/labels.csv", "--images", f"{container.url}/2024", "--workspace", "w"]
    assert "it belongs to another account" in irbis_here("ingest", *other, code=2, env=key).stderr
    signed = ["--images", f"{container.url}/2024?sv=1&sig=aGlk", "--workspace", "w"]
    assert "aGlk" not in (err := irbis_here("datasets", "add", "x", *signed, code=2).stderr) and err
