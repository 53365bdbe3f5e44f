"""What a run has made is fetched, whatever names its workspace lists."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.platform import following
from pipelines.storage.places import Places
from tests.azurite import KEY, put_raw


def test_no_name_of_a_listing_is_written_outside(azurite, container, make_settings, tmp_path):
    for name in ("runs/a/run.log", "runs/a/model/MLmodel", "runs/a//abs/path", "runs/a/x\\..\\..\\escaped"):
        container.upload_blob(name, b"x")
    put_raw(container, "runs/a/%2E%2E/%2E%2E/escaped", b"dots")
    put_raw(container, "runs/a/%2E%2E/other.log", b"dots")
    place = Places(make_settings({"azure.account_key": KEY}))
    got = tmp_path / "deep" / "got"
    with pytest.raises(DataError) as caught:
        following.download(place, f"{container.url}/runs/a", got)
    assert caught.value.faults == [
        f"'../../escaped' is not written below {got}: the name has the segment '..'.",
        f"'../other.log' is not written below {got}: the name has the segment '..'.",
        f"'/abs/path' is not written below {got}: the name is absolute.",
        f"'x/../../escaped' is not written below {got}: the name has the segment '..'.",
        f"The other 2 files of {container.url}/runs/a are in {got}.",
    ]
    assert following.Log(place, f"{container.url}/runs/a").news(is_over=True) == "x"
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["deep/got/model/MLmodel", "deep/got/run.log"]


def test_what_is_there_already_is_not_fetched_again(make_settings, tmp_path):
    place = Places(make_settings())
    place.write(f"{tmp_path}/runs/a/run.log", b"whole")
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "run.log").write_bytes(b"WHOLE")
    assert following.download(place, f"{tmp_path}/runs/a", tmp_path / "got") == [tmp_path / "got" / "run.log"]
    assert (tmp_path / "got" / "run.log").read_bytes() == b"WHOLE"
