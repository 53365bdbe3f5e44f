"""Backbones (torch, without Spark) and classifiers (Spark ML)."""
