"""Records, history, submission and following of runs."""
