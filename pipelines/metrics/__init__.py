"""Metrics of predicted classes and probabilities, one file each: NumPy alone."""
