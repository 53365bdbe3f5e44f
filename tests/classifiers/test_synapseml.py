"""irbis's own models still load after SynapseML has been imported."""

from __future__ import annotations

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.util import DefaultParamsReader

from pipelines.classifiers.estimators import PACKAGE_PREFIX, allow_custom_stages
from pipelines.classifiers.transformers import ArrayToVector, TemperatureScaling


def test_our_steps_load_after_synapseml_has_replaced_the_reader(spark, tmp_path, monkeypatch):
    pytest.importorskip("synapse.ml.lightgbm")
    from synapse.ml.core.serialize import _safe_import

    PipelineModel(stages=[ArrayToVector("a", "b"), TemperatureScaling(2.0)]).save(str(tmp_path / "model"))
    allow_custom_stages()  # so it stays for the tests that come after
    monkeypatch.setattr(_safe_import, "_ALLOWED_MODULE_PREFIXES", ("pyspark.", "synapse.ml."))
    assert "synapse" in DefaultParamsReader.loadParamsInstance.__module__
    with pytest.raises(ImportError, match="Refusing to load class"):
        PipelineModel.load(str(tmp_path / "model"))
    allow_custom_stages()
    allow_custom_stages()
    assert _safe_import._ALLOWED_MODULE_PREFIXES == ("pyspark.", "synapse.ml.", PACKAGE_PREFIX)
    assert PipelineModel.load(str(tmp_path / "model")).stages[1].getOrDefault("temperature") == 2.0
