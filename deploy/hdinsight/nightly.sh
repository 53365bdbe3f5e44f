#!/bin/bash
# Read, featurize and score what is new, report, and free the storage of what nobody needs: for cron (irbis.cron). A stage that fails ends the night; the next goes on.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lock=${LOCK:-$HOME/.cache/irbis/nightly.lock}    # not in /tmp, where anybody may lay a link
(umask 077 && mkdir -p "$(dirname "$lock")")
exec 9>> "$lock"
# Two at once would store the same rows twice.
flock --nonblock 9 || { echo "nightly: the one before is still at it; not started"; exit 0; }
for stage in ingest featurize score report clean; do
    echo "nightly: $stage, $(date -u +%FT%TZ)"
    "$here/run.sh" "$stage" "$@"
done
