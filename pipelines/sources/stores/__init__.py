"""Stores that hold image files; each is one file."""
