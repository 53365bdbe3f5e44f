"""Job: report. Runs by spark_python_task, spark-submit and python; takes the options of `irbis report`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["report", *sys.argv[1:]])
