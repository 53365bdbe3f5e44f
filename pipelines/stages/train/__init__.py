"""Labelled features -> a registered model version."""
