#!/bin/sh
# Resolve every lane's packages into a lock without addresses. Usage: sh requirements/lock.sh UV
set -eu
uv="$1"
cd "$(dirname "$0")/.."
lock() { "$uv" pip compile --quiet --no-header --no-annotate --only-binary :all: --no-binary pyspark "$@"; }
lock pyproject.toml --extra local --extra dev --universal --python-version 3.10 -o requirements/default.txt
lock requirements/dbr-15.4.in --python-version 3.11 -o requirements/dbr-15.4.txt
lock requirements/dbr-16.4.in --python-version 3.12 -o requirements/dbr-16.4.txt
lock requirements/hdinsight-5.1.in --python-version 3.10 --python-platform x86_64-manylinux2014 -o requirements/hdinsight-5.1.txt
