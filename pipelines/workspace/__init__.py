"""Delta tables and files of a workspace, its lock, and its disk space."""
