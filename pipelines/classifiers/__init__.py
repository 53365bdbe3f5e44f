"""Spark ML: estimators, transformers, cross-validation and prediction."""
