"""irbis: the transfer-learning pipeline for images on Spark."""

__version__ = "0.1.0"
