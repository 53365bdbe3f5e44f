"""The command `irbis`."""
