"""Job: detect. Runs by spark_python_task, spark-submit and python; takes the options of `irbis detect`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["detect", *sys.argv[1:]])
