"""Exchange of results with other programs: `irbis export` and `irbis import`."""
