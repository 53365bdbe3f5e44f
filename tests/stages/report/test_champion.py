"""The page of a champion that a person promoted."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.stages.report import stage as report
from pipelines.tracking.mlflow_client import Tracking
from pipelines.tracking.promotion import set_champion


def page(settings):
    return (Path(settings.workspace) / "reports" / "report.html").read_text(encoding="utf-8")


def test_it_says_why_the_champion_is_champion(spark, trained):
    report.run(spark, trained)
    assert "irbis/1 is champion: the first version" in page(trained)
    tracking = Tracking.of(trained)
    tracking.tag(tracking.champion(), gate="is challenger, irbis/9 stays champion: balanced accuracy is not higher")
    set_champion(tracking, tracking.champion(), "500 images <looked> at")
    report.run(spark, trained.model_copy(update={"report": trained.report.model_copy(update={"title": "Anew"})}))
    assert re.search(r"irbis/1 was made champion by \S+ on 20\d\d-\d\d-\d\d: 500 images &lt;looked", page(trained))
    assert "is challenger" not in page(trained)
