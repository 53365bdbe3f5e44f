"""8-bit graphs for CPUs: calibration images, ranges, and which layers stay in full precision."""
