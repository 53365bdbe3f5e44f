"""The report: its contents, its charts and the page."""
