"""Job: train. Runs by spark_python_task, spark-submit and python; takes the options of `irbis train`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
