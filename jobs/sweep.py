"""Job: sweep. Runs by spark_python_task, spark-submit and python; takes the plan and options of `irbis sweep`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
