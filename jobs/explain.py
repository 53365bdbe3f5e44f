"""Job: explain. Runs by spark_python_task, spark-submit and python; takes the options of `irbis explain`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["explain", *sys.argv[1:]])
