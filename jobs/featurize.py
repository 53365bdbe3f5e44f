"""Job: featurize. Runs by spark_python_task, spark-submit and python; takes the options of `irbis featurize`."""

import sys

from pipelines.cli.app import main

if __name__ == "__main__":
    main(["featurize", *sys.argv[1:]])
