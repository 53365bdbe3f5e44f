"""Parameters, settings and execution of notebooks."""
