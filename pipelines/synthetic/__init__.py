"""Images made from formulas, and how irbis_tiny is trained on them."""
