#!/bin/sh
# Print the GPUs of this executor for spark.executor.resource.gpu.discoveryScript: {"name": "gpu", "addresses": ["0", "1"]}.
set -eu
found=$(nvidia-smi --query-gpu=index --format=csv,noheader) ||
    { echo "gpus: nvidia-smi does not answer: this machine has no GPU, or no driver." >&2; exit 1; }
printf '{"name": "gpu", "addresses": [%s]}\n' "$(echo "$found" | sed 's/[^0-9]//g; /^$/d; s/.*/"&"/' | paste -s -d , -)"
