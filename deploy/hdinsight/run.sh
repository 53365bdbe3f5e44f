#!/bin/bash
# Run a stage on YARN, from a head node. Usage: run.sh ingest|detect|featurize|train|score|explain|report|run|sweep|clean [options of irbis]
#
# Run it in deploy/hdinsight of a folder that also has jobs/ and dist/irbis-VERSION.zip (make build). Variables:
#   IRBIS_FOLDER  folder of the environment in the cluster's storage, as for build-environment.sh (/irbis)
#   IRBIS_ENV     a YAML file with settings and secrets, chmod 600; YARN copies it next to driver and executors
#   AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_CERTIFICATE_PATH   identity that reads the images; the certificate is sent along
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${IRBIS_FOLDER:-/irbis}

fail() { printf 'run: %s\n' "$1" >&2; exit 2; }

[ $# -gt 0 ] || fail "expected a stage: ingest, detect, featurize, train, score, explain, report, run, sweep or clean."
job="$root/jobs/$1.py"
[ -f "$job" ] || fail "there is no job $1. Expected ingest, detect, featurize, train, score, explain, report, run, sweep or clean."
shift

codes=("$root"/dist/irbis-*.zip)
[ -f "${codes[0]}" ] || fail "there is no $root/dist/irbis-VERSION.zip. Make it with make build, and bring it here."
[ ${#codes[@]} -eq 1 ] || fail "$root/dist has ${#codes[@]} versions of the code (${codes[*]##*/}). Leave the one that is meant."
storage=$(hdfs getconf -confKey fs.defaultFS)
hdfs dfs -test -e "$folder/environment.tar.gz" ||
    fail "there is no $folder/environment.tar.gz in the cluster's storage. Build it: build-environment.sh"

settings=() files=() words=()
while read -r name value; do
    case "$name" in spark.*) settings+=(--conf "$name=$value") ;; esac
done < "$here/spark.conf"

if [ -n "${IRBIS_ENV:-}" ]; then
    [ -f "$IRBIS_ENV" ] || fail "IRBIS_ENV = $IRBIS_ENV: there is no such file."
    [ -z "$(find "$IRBIS_ENV" -perm /077)" ] || fail "$IRBIS_ENV can be read by others. Run: chmod 600 $IRBIS_ENV"
    files+=("$IRBIS_ENV")
    words+=(--env "${IRBIS_ENV##*/}")
fi
if [ -n "${AZURE_CLIENT_CERTIFICATE_PATH:-}" ]; then
    [ -f "$AZURE_CLIENT_CERTIFICATE_PATH" ] || fail "there is no certificate $AZURE_CLIENT_CERTIFICATE_PATH."
    files+=("$AZURE_CLIENT_CERTIFICATE_PATH")
    for pair in "AZURE_TENANT_ID=${AZURE_TENANT_ID:?}" "AZURE_CLIENT_ID=${AZURE_CLIENT_ID:?}" \
        "AZURE_CLIENT_CERTIFICATE_PATH=${AZURE_CLIENT_CERTIFICATE_PATH##*/}"; do
        settings+=(--conf "spark.yarn.appMasterEnv.$pair" --conf "spark.executorEnv.$pair")
    done
fi
sent=()
[ ${#files[@]} -eq 0 ] || sent=(--files "$(IFS=,; printf '%s' "${files[*]}")")

exec spark-submit --master yarn --deploy-mode cluster --name "irbis $(basename "$job" .py)" \
    --archives "${storage%/}$folder/environment.tar.gz#environment" --py-files "${codes[0]}" \
    ${settings[@]+"${settings[@]}"} ${sent[@]+"${sent[@]}"} "$job" ${words[@]+"${words[@]}"} "$@"
