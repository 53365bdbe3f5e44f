#!/bin/bash
# Read, featurize and score what is new, and report: for cron (irbis.cron). A stage that fails ends the night; the next goes on.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec 9> "${LOCK:-/tmp/irbis-nightly.lock}"
# Two at once would store the same rows twice.
flock --nonblock 9 || { echo "nightly: the one before is still at it; not started"; exit 0; }
for stage in ingest featurize score report; do
    echo "nightly: $stage, $(date -u +%FT%TZ)"
    "$here/run.sh" "$stage" "$@"
done
