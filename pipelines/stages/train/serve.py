"""Register the model that serves a version: image in, label out, without Spark."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipelines.backbones import backbones_from_settings
from pipelines.classifiers.export_head import export_head
from pipelines.config.settings import Settings
from pipelines.errors import UserError
from pipelines.evaluation.needs_review import ReviewRule
from pipelines.serving.description import Limits
from pipelines.serving.export import pip_requirements, require_whole_views, write_model
from pipelines.stages.train.result import TrainingResult
from pipelines.tracking import served_models
from pipelines.tracking.mlflow_client import ModelVersion, Tracking
from pipelines.tracking.served_files import MODEL
from pipelines.tracking.stored_models import scratch_folder
from pipelines.workspace.tables import Tables


def register_served_model(
    tables: Tables, tracking: Tracking, settings: Settings, trained: TrainingResult, version: ModelVersion
) -> tuple[str, ...]:
    """Write and register the model that serves a version; return a note if it cannot be served.

    The version is complete without it: `irbis score` does not use it.
    """
    try:
        require_whole_views(version.tags["backbone"], str(version))
        with scratch_folder(tracking.workspace) as scratch:
            head = export_head(trained.model.to_pipeline(), scratch or f"{tables.workspace}/scratch")
        with tempfile.TemporaryDirectory() as folder:
            write_model(
                Path(folder) / MODEL,
                head,
                backbones_from_settings(settings, check=False),
                name=version.name,
                version=version.version,
                labels=trained.classes,
                policy=trained.policy,
                rule=ReviewRule(**settings.score.model_dump(include=set(ReviewRule.__dataclass_fields__))),
                limits=Limits(settings.images.max_bytes, settings.images.max_pixels, settings.images.max_seconds),
                engine=settings.featurize.engine,
                cache=settings.featurize.weights_cache,
            )
            requirements = pip_requirements(Path(folder) / MODEL)
            served_models.register(tracking, version, Path(folder) / MODEL, requirements)
    except UserError as error:
        return (f"no model for endpoints was registered: {error}",)
    return ()
