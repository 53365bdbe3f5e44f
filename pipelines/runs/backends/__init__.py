"""Where runs are submitted to; each backend is one file."""
