"""The code of a served model in MLflow (models from code): a table of images in, a table of predictions out.

MLflow runs this file as it is where the model is loaded: in irbis, or on an endpoint, where the code of irbis comes
with the model. A bad image is a row with a failure, never an error of the request. The columns are those of the table
`predictions`; where that has null, texts are empty here and `probabilities` has no items, as `mlflow.pyfunc.spark_udf`
takes no null in them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class ServedModel(mlflow.pyfunc.PythonModel):
    """The served model. Loads networks once per process."""

    def load_context(self, context: Any) -> None:
        """Load the model in the artifact `model`, with its own code unless irbis runs already."""
        folder = Path(context.artifacts["model"])
        if "pipelines" not in sys.modules:
            sys.path.insert(0, str(folder / "irbis.zip"))
        from pipelines.serving.image_input import AllowedSources
        from pipelines.serving.predictor import Predictor

        self._predictor = Predictor.load(folder, allowed=AllowedSources.from_environment(), isolate=True)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return a row of predictions for each row of `image` and, optionally, `burst`."""
        bursts = None
        if "burst" in model_input:
            bursts = [None if pd.isna(name) else name for name in model_input["burst"]]
        predictions = self._predictor.predict(model_input["image"].tolist(), bursts)
        rows = pd.DataFrame(predictions, columns=self._predictor.columns, dtype=object)
        texts = rows.columns.difference(["score", "burst_score", "probabilities", "needs_review"])
        rows[texts] = rows[texts].where(rows[texts].notna(), "")
        return rows.astype({"needs_review": bool})


mlflow.models.set_model(ServedModel())
