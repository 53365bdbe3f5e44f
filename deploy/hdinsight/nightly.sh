#!/bin/bash
# Ingest, featurize and score new images, write the report and clean up: for cron (irbis.cron). A failed stage ends the run; the next night's run continues.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lock=${LOCK:-$HOME/.cache/irbis/nightly.lock}    # not in /tmp, where others could place a link
(umask 077 && mkdir -p "$(dirname "$lock")")
exec 9>> "$lock"
# Only one run at a time: the tables refuse a second one.
flock --nonblock 9 || { echo "nightly: the one before is still at it; not started"; exit 0; }
for stage in ingest featurize score report clean; do
    echo "nightly: $stage, $(date -u +%FT%TZ)"
    "$here/run.sh" "$stage" "$@"
done
