"""MLflow: runs, the model registry, promotion and stored models."""
