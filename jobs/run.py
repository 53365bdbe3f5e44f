"""Job: all five stages. Runs by spark_python_task, spark-submit and python; takes the options of `irbis run`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
