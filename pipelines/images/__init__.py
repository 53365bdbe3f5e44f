"""Image bytes to RGB arrays; no Spark."""
