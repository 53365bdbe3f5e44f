#!/bin/sh
# Serve the MLflow model in AZUREML_MODEL_DIR, or in a folder of it, which has the name of the folder that was registered.
set -eu
for folder in "$AZUREML_MODEL_DIR" "$AZUREML_MODEL_DIR"/* "$AZUREML_MODEL_DIR"/*/*; do
    if [ -f "$folder/MLmodel" ]; then
        exec mlflow models serve --model-uri "$folder" --env-manager local --host "${HOST:-0.0.0.0}" --port "${PORT:-5001}"
    fi
done
echo "There is no MLmodel in $AZUREML_MODEL_DIR, nor in two levels of folders in it. Register DIR/model of irbis export-model DIR." >&2
exit 1
