#!/bin/sh
# Create, stop and delete the resources of these templates. Usage: azure.sh up vm|databricks|hdinsight, azure.sh stop, azure.sh down
#
# Environment variables: GROUP (irbis), LOCATION (eastus), FROM (addresses that may connect, separated by spaces:
# 203.0.113.7/32), KEY (public ssh key, ~/.ssh/id_ed25519.pub), SPOT (1: a spot VM), SHUTDOWN (hhmm in UTC, 1900).
set -euf
here=$(cd "$(dirname "$0")" && pwd)
GROUP=${GROUP:-irbis} LOCATION=${LOCATION:-eastus} SHUTDOWN=${SHUTDOWN:-1900} SPOT=${SPOT:-}
KEY=${KEY:-$HOME/.ssh/id_ed25519.pub}
newline='
'

fail() { printf 'azure: %s\n' "$1" >&2; exit 2; }
say() { printf '%s\n' "$*"; }

# Print the rows of the price list for the given targets ($1: a pattern), with their sum. $2: only those still paid when stopped.
costs() {
    awk -F '\t' -v targets="^($1)\$" -v paid="${2:-.*}" '
        !/^#/ && $1 ~ targets && $5 ~ paid {
            printf "  %2d x %-62s %7.3f\n", $2, $3, $2 * $4; sum += $2 * $4
        }
        END { printf "  about %.2f dollars an hour, %.2f a day\n", sum, sum * 24 }' "$here/prices.tsv"
    say "  list prices of $(sed -n 's/.*noted by hand on \([0-9-]*\)\..*/\1/p' "$here/prices.tsv"), to be checked: deploy/azure/prices.tsv"
}

confirmed() {
    printf '%s Type yes: ' "$1"
    answer=
    read -r answer || true
    [ "$answer" = yes ] || { say; say "Nothing was changed."; exit 1; }
}

signed_in() {
    command -v az >/dev/null 2>&1 || fail "the Azure command line (az) is not on PATH. Install it, then: az login"
    subscription=$(az account show --query name --output tsv 2>/dev/null) || fail "nobody is signed in. Run: az login"
}

# Never deploy to a group that this script did not create, because `down` deletes everything in it.
group_owner() { az group show --name "$GROUP" --query tags.madeBy --output tsv 2>/dev/null || say none; }

own_group_only() {
    owner=$(group_owner)
    [ "$owner" = irbis-deploy ] && return
    [ "$owner" = none ] && [ "$1" = may_be_missing ] && return
    [ "$owner" = none ] && fail "there is no resource group $GROUP. Name yours: GROUP=..."
    fail "the resource group $GROUP was not made by this script. Choose another name: GROUP=..."
}

checked_sources() {
    [ -n "${FROM:-}" ] || fail "FROM is not set: the addresses that may come in, such as FROM=203.0.113.7/32"
    sources='' addresses=''
    for each in $FROM; do
        case "$each" in
            '*' | */0 | 0.0.0.0* | :: | ::/* | [Aa]ny | [Ii]nternet) fail "FROM=$each lets everybody in. Name addresses." ;;
            *[!0-9a-fA-F.:/]*) fail "FROM=$each is no address. Expected something like 203.0.113.7/32." ;;
            */31) fail "FROM=$each: Azure's storage takes no range of two. Name both addresses." ;;
        esac
        sources="$sources${sources:+, }\"$each\""
        # Storage refuses IPv6 and private addresses as rules; neither can reach it anyway.
        case "$each" in
            *:* | 10.* | 192.168.* | 172.1[6-9].* | 172.2[0-9].* | 172.3[01].*) ;;
            *) addresses="$addresses${addresses:+, }{\"value\": \"${each%/32}\", \"action\": \"Allow\"}" ;;
        esac
    done
    [ -f "$KEY" ] || fail "there is no public key $KEY. Make one with ssh-keygen -t ed25519, or name it: KEY=..."
    case $(cat "$KEY") in
        *"$newline"* | *PRIVATE*) fail "$KEY is not one public key: one line that begins with ssh-. Name the file ending in .pub." ;;
        ssh-* | ecdsa-*) ;;
        *) fail "$KEY is not one public key: one line that begins with ssh-. Name the file ending in .pub." ;;
    esac
}

deploy() {
    template=$1
    shift
    az deployment group create --resource-group "$GROUP" --name "irbis-$template" \
        --template-file "$here/$template.json" --output none "$@"
}

output() {
    az deployment group show --resource-group "$GROUP" --name "irbis-$1" --query "properties.outputs.$2.value" --output tsv
}

# Choose who may connect to the storage. Databricks connects from its own network, which cannot be listed here.
choose_doors() {
    workspaces=''
    [ "$target" != databricks ] || workspaces=new addresses=''
    [ "$owner" = none ] || workspaces=$workspaces$(az resource list --resource-group "$GROUP" \
        --resource-type Microsoft.Databricks/workspaces --query '[].name' --output tsv)
    if [ -n "$workspaces" ]; then
        addresses='' doors="Its storage is open to all networks, and closed by roles alone: Databricks reads it from its own"
    elif [ -z "$addresses" ]; then
        doors="Its storage is open to all networks, and closed by roles alone: FROM holds no public IPv4 address"
    else
        doors="Its storage is closed to all networks but FROM and that of the machines made here"
    fi
}

# Runs before the machines, which get roles on the storage, and after them, when their networks exist and can be allowed.
deploy_storage() {
    subnets=''
    networks=$(az network vnet list --resource-group "$GROUP" --output tsv \
        --query "[].subnets[] | [?serviceEndpoints[?service=='Microsoft.Storage']].id")
    for each in $networks; do
        subnets="$subnets${subnets:+, }{\"id\": \"$each\", \"action\": \"Allow\"}"
    done
    deploy storage --parameters "userId=$user" "addresses=[$addresses]" "subnets=[$subnets]"
}

up() {
    target=$1 priced=$1
    case "$target" in
        vm) [ -z "$SPOT" ] || priced=vm-spot
            [ "$(git -C "$here" rev-parse --is-shallow-repository 2>/dev/null)" = false ] ||
                fail "the machine gets the current commit, but this is not a complete git checkout. Run: git fetch --unshallow" ;;
        databricks | hdinsight) ;;
        *) fail "TARGET=$target is unknown. Expected vm, databricks or hdinsight." ;;
    esac
    signed_in
    [ "$target" = databricks ] || checked_sources
    own_group_only may_be_missing
    choose_doors
    say "In the subscription $subscription, resource group $GROUP, $LOCATION, this is made:"
    costs "$priced|any"
    case "$target" in
        vm) say "  It is deallocated every day at $SHUTDOWN UTC; ssh only from $FROM" ;;
        databricks) say "  Its clusters are billed in addition while they run: docs/deploy/databricks.md" ;;
        hdinsight) say "  It costs this until it is deleted: a cluster cannot be stopped. ssh and Livy only from $FROM" ;;
    esac
    say "  $doors"
    secret=
    confirmed "Make it?"
    [ "$target" != hdinsight ] || ask_secret
    az group create --name "$GROUP" --location "$LOCATION" --tags madeBy=irbis-deploy --output none
    user=$(az ad signed-in-user show --query id --output tsv)
    deploy_storage
    "up_$target"
}

up_vm() {
    spot=false
    [ -z "$SPOT" ] || spot=true
    deploy vm --parameters "sshSources=[$sources]" "sshPublicKey=$(cat "$KEY")" "spot=$spot" "shutdownAt=$SHUTDOWN" \
        "cloudInit=@$here/cloud-init.yaml"
    deploy_storage
    place="$(output vm user)@$(output vm address)"
    send_code "$place"
    say "The machine is ready: ssh $place, then cd irbis && make demo. Images: az://$(output storage account)/images"
}

# Send the current commit as a git bundle, without a code server, so that runs can record it.
send_code() {
    say "Waiting for the driver on $1 (5 to 15 minutes)"
    tries=${TRIES:-80}
    until ssh -n -o StrictHostKeyChecking=accept-new -o ConnectTimeout=10 "$1" nvidia-smi -L >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "the driver does not answer on $1. See /var/log/cloud-init-output.log there, then repeat."
        sleep "${PAUSE:-15}"
    done
    # From the top of the repository: in a subfolder git treats the - as a file name.
    git -C "$here/../.." bundle create --quiet - HEAD | ssh "$1" 'set -e; cat > irbis.bundle
        if [ -d irbis ]; then git -C irbis fetch --quiet ../irbis.bundle HEAD; git -C irbis checkout --quiet --detach FETCH_HEAD
        else git clone --quiet irbis.bundle irbis; fi
        make -C irbis .venv/.ready'
}

up_databricks() {
    deploy databricks
    say "The workspace is at $(output databricks host). Its access connector for Unity Catalog:"
    say "  $(output databricks connector)"
    say "Continue with docs/deploy/databricks.md."
}

ask_secret() {
    say "The gateway wants a password for the user admin: 10 characters or more, with a capital, a small letter, a digit and"
    say "one of !#-_@. It is asked for by Livy later, and kept nowhere by this script."
    # Not an argument: every user of this machine can see those.
    trap '[ ! -t 0 ] || stty echo' EXIT
    [ ! -t 0 ] || stty -echo
    printf 'Password: '
    read -r secret || true
    [ ! -t 0 ] || stty echo
    say
    case "$secret" in
        *[!A-Za-z0-9!#_@-]*) fail "the password has a character besides letters, digits and !#-_@." ;;
        ??????????*) ;;
        *) fail "the password has fewer than 10 characters." ;;
    esac
}

up_hdinsight() {
    printf '{"gatewaySecret": {"value": "%s"}}' "$secret" |
        deploy hdinsight --parameters "userId=$user" "sources=[$sources]" "sshPublicKey=$(cat "$KEY")" --parameters @-
    secret=
    deploy_storage
    say "The cluster is there: Livy at $(output hdinsight livy), ssh $(output hdinsight ssh)"
    say "Its storage is $(output hdinsight storage). Continue with docs/deploy/hdinsight.md."
}

machines() { az vm list --resource-group "$GROUP" --query '[].name' --output tsv; }
clusters() { az hdinsight list --resource-group "$GROUP" --query '[].name' --output tsv; }

stop() {
    signed_in
    own_group_only must_be_there
    machines=$(machines) clusters=$(clusters)
    [ -n "$machines$clusters" ] || { say "Nothing runs in $GROUP: no machine, no HDInsight cluster."; exit 0; }
    for each in $machines; do say "The machine $each is deallocated; its disk and address stay, and are paid for."; done
    for each in $clusters; do
        say "The HDInsight cluster $each is DELETED, because it cannot be stopped. Its storage account, with the tables, stays."
    done
    say "Still paid for afterwards, at most:"
    costs 'vm|databricks|any' yes
    confirmed "Go on?"
    for each in $machines; do az vm deallocate --resource-group "$GROUP" --name "$each" --output none; done
    for each in $clusters; do az hdinsight delete --resource-group "$GROUP" --name "$each" --yes --output none; done
    say "Stopped. A machine comes back with: az vm start --resource-group $GROUP --name NAME"
}

down() {
    signed_in
    own_group_only must_be_there
    say "The resource group $GROUP of $subscription is DELETED with everything in it, including images, tables and models:"
    az resource list --resource-group "$GROUP" --query '[].[type, name]' --output tsv | sed 's/^/  /'
    confirmed "Delete it?"
    az group delete --name "$GROUP" --yes --output none
    say "Deleted. Nothing of it costs anything any more."
}

case "${1:-}" in
    up) up "${2:-}" ;;
    stop) stop ;;
    down) down ;;
    *) fail "expected: up vm|databricks|hdinsight, stop, or down." ;;
esac
