"""Stores of image files, one module each."""
