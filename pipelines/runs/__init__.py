"""Runs: records, history, submission and following."""
