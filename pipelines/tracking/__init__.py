"""MLflow: runs, the model registry, promotion and stored models."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
