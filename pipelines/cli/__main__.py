"""`python -m pipelines.cli`, where the command is not on the path."""

from pipelines.cli.app import main

main()
