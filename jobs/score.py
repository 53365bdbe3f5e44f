"""Job: score. Runs by spark_python_task, spark-submit and python; takes the options of `irbis score`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["score", *sys.argv[1:]])
