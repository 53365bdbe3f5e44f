"""Hyperparameter search over `irbis train`."""
