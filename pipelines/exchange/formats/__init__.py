"""Formats of exchange, one file each; see registry.py."""
