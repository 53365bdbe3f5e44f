"""The cases beside the checkout: inputs that irbis once got wrong, run as they stand and compared with what is right.

A case draws its images and runs commands; what these print, and the tables that they leave, are checked here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]
pytestmark = pytest.mark.slow
TABLE = """
import json, os, sys
sys.path.insert(0, os.environ["CASES"] + "/lib")
import rows
table = getattr(rows, sys.argv[2])(sys.argv[1])
print(table.drop(columns=[c for c in table if c == "probabilities"]).to_json(orient="records", date_format="iso"))
"""


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that draws a case in a folder of its own, runs its scripts and returns what they print."""
    cases = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases"
    if not cases.is_dir():
        pytest.skip(f"needs the cases in {cases.resolve()}")
    copy = tmp_path / "cases"
    shutil.copytree(cases, copy)
    settings = copy / "lib" / "env.sh"  # a cheap training, by the names that settings had when the cases were written
    text = settings.read_text(encoding="utf-8")
    for old, new in (("TRAIN__FOLDS", "TRAIN__CV_FOLDS"), ("TRAIN__BOOTSTRAP=", "TRAIN__BOOTSTRAP_RESAMPLES=")):
        text = text.replace(f"IRBIS_{old}", f"IRBIS_{new}")
    settings.write_text(text, encoding="utf-8")
    monkeypatch.setenv("CASES", str(copy))
    monkeypatch.setenv("IRBIS", str(Path(sys.executable).with_name("irbis")))
    monkeypatch.setenv("PY", sys.executable)

    def run(name: str, *scripts: str) -> str:
        folder = copy / name
        if (folder / "make.py").is_file() and name != "02_relabel_by_moving":  # which draws its own
            subprocess.run([sys.executable, "make.py"], cwd=folder, check=True, capture_output=True)
        printed = ""
        for script in scripts or ("run.sh",):
            done = subprocess.run(
                ["bash", str(folder / script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            printed += done.stdout
        print(printed)  # shown where the test fails
        assert "Traceback" not in printed and "\tat " not in printed
        return printed

    return run


def table(folder: Path | str, name: str = "images") -> list[dict[str, object]]:
    """Return the current rows of a table that a case has left."""
    done = subprocess.run(
        [sys.executable, "-c", TABLE, str(Path(os.environ["CASES"], folder)), name],
        capture_output=True,
        text=True,
        check=True,
    )
    return list(json.loads(done.stdout))


def labels(folder: str) -> dict[object, int]:
    found = [row["label"] for row in table(folder)]
    return {label: found.count(label) for label in set(found)}


def exit_codes(printed: str) -> list[int]:
    return [int(code) for code in re.findall(r"\[rc=(\d+),", printed)]


def test_wildlife_insights(case: Run) -> None:
    printed = case("01_wildlife_insights_csv")
    assert exit_codes(printed) == [0]
    assert labels("01_wildlife_insights_csv/ws") == {"Leopard": 16, "Red Fox": 16, "Blank": 16, "Bird": 16}
    assert {row["station"] for row in table("01_wildlife_insights_csv/ws")} == {"DEP1", "DEP2"}
    assert "label = common_name" in printed and "station = deployment_id" in printed


def test_labels_corrected_by_moving_files(case: Run) -> None:
    printed = case("02_relabel_by_moving")
    assert exit_codes(printed) == [0, 0, 0]
    assert [line for line in printed.splitlines() if line.startswith("pictures left out")] == [
        "pictures left out of training for two labels: 0"
    ] * 2
    assert "6 images moved" in printed and "40 images moved" in printed
    assert printed.count("train: 120 read") == 3
    current = [row for row in json.loads(json.dumps(table("02_relabel_by_moving/ws"))) if row["failure"] is None]
    assert len(current) == 120 and "red_fox" in {row["label"] for row in current}


def test_system_folders(case: Run) -> None:
    printed = case("04_junk_folders")
    assert labels("04_junk_folders/ws") == {"leopard": 16, "fox": 16, "blank": 16}
    assert "skipped " in printed and "@eaDir" in printed


def test_ancient_dates(case: Run) -> None:
    printed = case("05_ancient_dates")
    assert exit_codes(printed) == [0] * 4 and printed.count("implausible time") == 4
    for kind in ("y0001", "y1899", "y1582", "y9999"):
        found = table(f"05_ancient_dates/ws_{kind}")
        (odd,) = [row for row in found if str(row["path"]).endswith("odd.JPG")]
        assert (len(found), odd["captured_at"], odd["failure"]) == (13, None, None)


def test_cameras_without_station(case: Run) -> None:
    printed = case("07_two_cameras_no_station")
    assert exit_codes(printed) == [0]
    assert "bursts 180 with more than one label 0" in printed
    (own, voted) = re.search(r"^all +([\d.]+) +([\d.]+)", printed, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert float(voted) >= float(own)
    assert "Set sources.station" in printed


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("12_locale_c", ["run.sh"]),
        ("13_shadowed_modules", ["run.sh", "run_b.sh"]),
        ("14_spark_env", ["run.sh", "run_b.sh"]),
        ("15_uid_without_passwd", ["run.sh"]),
        ("17_tmp_and_disk", ["run.sh"]),
        ("26_offline_first_run", ["run.sh", "run_b.sh"]),
    ],
)
def test_the_machine_around_it(case: Run, name: str, scripts: list[str]) -> None:
    """Each command works, or ends with 2 and a sentence that names the variable, folder or file."""
    if name in ("15_uid_without_passwd", "17_tmp_and_disk", "26_offline_first_run") and os.geteuid():
        pytest.skip("needs root, to make a name space of its own")
    codes = exit_codes(case(name, *scripts))
    assert codes and set(codes) <= {0, 1, 2}


def test_closed_streams(case: Run) -> None:
    printed = case("16_pipes")
    assert "rc=141" in printed or "rc=0" in printed
    assert "cannot write to standard output (No space left on device)" in printed


def test_videos_and_raw(case: Run) -> None:
    printed = case("19_videos_and_raw")
    for part in ("40 videos (mp4)", "30 RAW images (cr2)", "5 incomplete downloads (crdownload)", "3 files without"):
        assert part in printed


def test_two_species_in_one_image(case: Run) -> None:
    printed = case("20_two_species")
    assert exit_codes(printed) == [2, 0] and "more than one label" in printed


def test_a_labels_folder_rewritten_in_place(case: Run) -> None:
    printed = case("27_parquet_folder_in_place")
    assert exit_codes(printed) == [0, 0] and "Nothing has changed" not in printed
    assert labels("27_parquet_folder_in_place/ws") == {"leopard": 40, "fox": 40, "blank": 40}
