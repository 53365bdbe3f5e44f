"""Databricks: the bundle of jobs, and secrets."""
