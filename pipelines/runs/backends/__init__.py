"""Backends that runs are submitted to, one file each."""
