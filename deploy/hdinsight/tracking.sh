#!/bin/bash
# MLflow server on a head node, for runs whose drivers are anywhere in the cluster. Usage: tracking.sh start|save [FOLDER]
#
# It requires a user and a password, which `start` generates into TRACKING/password: without them nobody can read, or write
# models, which are code to those who load them.
#
# `start` restores what `save` has written to FOLDER (/irbis) of the cluster's storage, which outlives the cluster; run it at
# every start of the node. Run `save` every night, and before the cluster is deleted.
set -euo pipefail
folder=${2:-/irbis}
home=${TRACKING:-$HOME/tracking}
port=${PORT:-5000}
bin=$home/environment/bin

fail() { printf 'tracking: %s\n' "$1" >&2; exit 2; }

# Anybody who can write to the storage may have put the archive there: restore only plain files and folders of the two names
# that `save` writes, never the environment that the server runs from.
take_up() {
    local work
    work=$(mktemp -d "$home/arriving.XXXXXX")
    hdfs dfs -cat "$folder/tracking.tar.gz" > "$work/tracking.tar.gz"
    if tar -tzf "$work/tracking.tar.gz" | grep -Ev '^(mlflow\.db|artifacts/.*)$' > "$work/refused" ||
        tar -tzf "$work/tracking.tar.gz" | grep -E '(^|/)\.\.(/|$)' > "$work/refused" ||
        tar -tvzf "$work/tracking.tar.gz" | grep -v '^[-d]' > "$work/refused"; then
        first=$(head -n 1 "$work/refused")
        rm -rf "$work"
        fail "$folder/tracking.tar.gz is not one that 'save' wrote: it holds $first. Remove it, or put back one that is."
    fi
    tar -xz --no-same-owner -f "$work/tracking.tar.gz" -C "$work"
    rm -rf "$home/artifacts"
    if [ -d "$work/artifacts" ]; then mv "$work/artifacts" "$home/artifacts"; fi
    mv "$work/mlflow.db" "$home/mlflow.db"    # last: its presence shows that everything was restored
    rm -rf "$work"
    echo "tracking: taken up from $folder/tracking.tar.gz"
}

# The process id may have been reused: the server is the process whose working folder is this one.
is_running() {
    [ -f "$home/pid" ] && [ "$(readlink "/proc/$(cat "$home/pid")/cwd")" = "$(cd "$home" && pwd -P)" ]
}

# Only this user can read the password, the server's log and its data.
secure() {
    umask 077
    mkdir -p "$home"
    chmod 700 "$home"
    [ -s "$home/password" ] || head -c 64 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 40 > "$home/password"
    cat > "$home/auth.ini" <<INI
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///$home/auth.db
admin_username = irbis
admin_password = $(cat "$home/password")
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
INI
}

start() {
    secure
    [ -x "$bin/mlflow" ] || fail "there is no $bin/mlflow. Make it:
  sudo /usr/bin/miniforge/bin/conda create --yes --prefix $home/environment python=3.10 pip
  sudo $bin/python -m pip install 'mlflow[auth]==2.22.5'"
    if [ ! -f "$home/mlflow.db" ] && hdfs dfs -test -e "$folder/tracking.tar.gz"; then
        take_up
    fi
    if is_running; then
        echo "tracking: is running"
    else
        (cd "$home"; MLFLOW_AUTH_CONFIG_PATH="$home/auth.ini" MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$home/password") \
            setsid "$bin/mlflow" server --app-name basic-auth --host 0.0.0.0 --port "$port" \
            --backend-store-uri "sqlite:///$home/mlflow.db" --artifacts-destination "$home/artifacts" \
            >> "$home/server.log" 2>&1 & echo $! > "$home/pid")
        echo "tracking: started, its log is $home/server.log"
    fi
    echo "tracking: tracking.uri is http://irbis:PASSWORD@$(hostname -f):$port, with the PASSWORD in $home/password"
}

save() {
    [ -f "$home/mlflow.db" ] || fail "there is no $home/mlflow.db: nothing to save."
    local copy
    copy=$(mktemp -d)
    # SQLite's backup: the server may write meanwhile.
    "$bin/python" - "$home/mlflow.db" "$copy/mlflow.db" <<'PYTHON'
import sqlite3, sys
sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))
PYTHON
    mkdir -p "$home/artifacts"
    tar -czf "$copy/tracking.tar.gz" -C "$copy" mlflow.db -C "$home" artifacts
    hdfs dfs -put -f "$copy/tracking.tar.gz" "$folder/tracking.tar.gz"
    rm -rf "$copy"
    echo "tracking: saved to $folder/tracking.tar.gz"
}

case "${1:-}" in
    start) start ;;
    save) save ;;
    *) fail "expected: start or save." ;;
esac
