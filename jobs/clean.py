"""Job: clean. Runs by spark_python_task, spark-submit and python; takes the options of `irbis clean`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["clean", *sys.argv[1:]])
