"""Fill the page: contents in, one self-contained HTML file out."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from pipelines import formatting
from pipelines.evaluation.results import Evaluation
from pipelines.evaluation.review_policy import drop_redundant_units
from pipelines.reports import charts
from pipelines.reports.contents import ReportContents

FILTERS = (
    "format_count", "pluralize", "format_percent", "format_interval", "format_datetime", "format_date", "file_name",
    "safe_data_uri",
)  # fmt: skip


def render(contents: ReportContents) -> str:
    """Give the report as one HTML page that fetches nothing and runs nothing.

    All text is escaped: file names and labels may hold anything. The same contents give the same page.
    """
    return template("report.html.j2").render(style=Markup(read_template("style.css")), **template_context(contents))


def template(name: str) -> Template:
    """Give a template of the report; its macros are what notebooks show too."""
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
    """Read a template or the style sheet; through resources, because on clusters the package may stand in a zip."""
    return (resources.files("pipelines.reports") / "templates" / name).read_text(encoding="utf-8")


def template_context(contents: ReportContents) -> dict[str, Any]:
    """Give what the templates ask for: contents, bars and hours, with one colour for a label throughout the page."""
    hours = {label: {label: sum(counts)} for label, counts in contents.by_hour.items()}
    predicted = {each.label: {each.label: each.count} for each in contents.predictions}
    series = charts.palette(charts.label_counts(contents.by_station, hours, predicted))
    return {
        "contents": contents,
        "series": series,
        "predicted": charts.bars(predicted, series),
        "stations": charts.bars(contents.by_station, series),
        "days": charts.hourly_activity(contents.by_hour, series),
    }


def _reliability_plot(evaluation: Evaluation) -> Markup:
    from pipelines.reports.plots import reliability_figure, svg  # matplotlib: only a page that is written needs it

    filled = [each for each in evaluation.reliability if each.count]
    points = "; ".join(
        f"{formatting.format_percent(each.confidence)} sure, {formatting.format_percent(each.accuracy)} right"
        for each in filled
    )
    return Markup(svg(reliability_figure(evaluation), f"Reliability diagram: {points}."))
