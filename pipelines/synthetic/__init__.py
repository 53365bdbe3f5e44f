"""Synthetic images rendered from formulas, and the training of irbis_tiny on them."""
