"""The workspace: Delta tables, files, lock and disk space."""
