"""Render report contents as one self-contained HTML page."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from pipelines import formatting
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import drop_redundant_units
from pipelines.metrics.registry import all_metrics
from pipelines.reports import charts
from pipelines.reports.contents import ReportContents

FILTERS = (
    "format_count", "pluralize", "format_percent", "format_interval", "format_datetime", "format_date", "file_name",
    "safe_data_uri",
)  # fmt: skip


def render(contents: ReportContents) -> str:
    """Return the report as one HTML page that loads no resource and runs no script.

    All text is escaped, because file names and labels are untrusted. The same contents give the same page.
    """
    return template("report.html.j2").render(style=Markup(read_template("style.css")), **template_context(contents))


def template(name: str) -> Template:
    """Return a template of the report. Notebooks use its macros too."""
    return _environment().get_template(name)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(read_template),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=formatting.sanitize_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(formatting, name) for name in FILTERS})
    environment.globals.update(charts=charts, reliability_plot=_reliability_plot, distinct=drop_redundant_units)
    return environment


def read_template(name: str) -> str:
    """Read a template or the style sheet, as a resource: on clusters the package may be a zip file."""
    return (resources.files("pipelines.reports") / "templates" / name).read_text(encoding="utf-8")


def template_context(contents: ReportContents) -> dict[str, Any]:
    """Return the variables of the templates: contents, bars and hours, with one colour per label on the whole page."""
    hours = {label: {label: sum(counts)} for label, counts in contents.by_hour.items()}
    predicted = {row.label: {row.label: row.count} for row in contents.predictions}
    series = charts.palette(charts.label_counts(contents.by_station, hours, predicted))
    return {
        "contents": contents,
        "metrics": list(all_metrics().values()),
        "series": series,
        "predicted": charts.bars(predicted, series),
        "stations": charts.bars(contents.by_station, series),
        "days": charts.hourly_activity(contents.by_hour, series),
    }


def _reliability_plot(evaluation: Evaluation) -> Markup:
    from pipelines.reports.plots import reliability_figure, to_svg  # slow import (matplotlib), rarely needed

    points = "; ".join(
        f"{formatting.format_percent(point.confidence)} confident, {formatting.format_percent(point.accuracy)} correct"
        for point in evaluation.reliability
        if point.count
    )
    return Markup(to_svg(reliability_figure(evaluation), f"Reliability diagram: {points}."))
