"""Job: ingest. Runs by spark_python_task, spark-submit and python; takes the options of `irbis ingest`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["ingest", *sys.argv[1:]])
