#!/bin/sh
# Send one image to an endpoint of irbis and print the answer as JSON. Needs curl, base64 and ImageMagick.
#     IRBIS_TOKEN=... sh predict.sh https://HOST/serving-endpoints/irbis-prod/invocations IMG_0001.JPG
# Tokens: databricks auth token, field access_token; az account get-access-token --resource https://ml.azure.com
set -eu
if [ $# -ne 2 ] || [ ! -f "$2" ]; then
    echo "usage: IRBIS_TOKEN=TOKEN sh predict.sh URL IMAGE" >&2
    exit 2
fi
url=$1 image=$2 side=${SIDE:-448}
resize=$(command -v magick || command -v convert) || { echo "predict.sh: install ImageMagick" >&2; exit 2; }
case $url in */score) form=input_data ;; *) form=dataframe_split ;; esac

# Upright, the shorter side reduced to $side pixels, without metadata. Read from stdin: ImageMagick gives names a meaning.
body=$(mktemp)
trap 'rm -f "$body" "$body.jpg"' EXIT
"$resize" '-[0]' -auto-orient -resize "${side}x${side}^>" -strip -quality 90 -sampling-factor 1x1 "jpg:$body.jpg" <"$image"
{
    printf '{"%s": {"columns": ["image"], "index": [0], "data": [["' "$form"
    base64 <"$body.jpg" | tr -d '\n'
    printf '"]]}}'
} >"$body"

# The token goes through a pipe: arguments of commands are visible to everybody on the machine.
printf 'header = "Authorization: Bearer %s"\n' "${IRBIS_TOKEN:-}" |
    curl --config - --silent --show-error --fail-with-body --max-time 120 --retry 3 \
        --header 'Content-Type: application/json' --data-binary "@$body" "$url"
echo
