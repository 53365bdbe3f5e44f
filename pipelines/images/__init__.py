"""Decode image bytes to RGB arrays and read their metadata. No Spark."""
