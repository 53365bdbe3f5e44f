"""HTML fragments of the report for notebooks, each with a style sheet that affects nothing else on the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from pipelines.evaluation.results import Evaluation, Interval, align_columns
from pipelines.formatting import UNKNOWN, file_name, format_interval, format_percent, pluralize, sanitize_text
from pipelines.reports.contents import Conflict, ImageCard, ReportContents
from pipelines.reports.render import read_template, template, template_context

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCOPE = "irbis"
SCOPED = f".{SCOPE}.{SCOPE}"  # twice, to outrank Jupyter's own rules for tables
SKIPPED_RULES = ("@media (prefers-color-scheme: dark)", "@media print")  # these belong to the notebook's page


@dataclass(frozen=True)
class Rate:
    """Number of images of a station or hour, how many of them are hits, and that fraction with its interval."""

    name: str
    images: int
    hits: int
    share: Interval


@dataclass(frozen=True)
class Fragment:
    """A piece of HTML for notebooks, with a plain-text form for terminals. Fragments can be added."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return f'<div class="{SCOPE}"><style>{stylesheet()}</style>{self.html}</div>'

    def __repr__(self) -> str:
        return self.text

    def __add__(self, other: Fragment) -> Fragment:
        return Fragment(self.html + other.html, f"{self.text}\n{other.text}")


def section(contents: ReportContents, name: str) -> Fragment:
    """Return a section of the report: short, evaluation, images, counts, data or model."""
    html = template(f"{name}.html.j2").render(evaluation=contents.evaluation, **template_context(contents))
    return Fragment(html, f"section {name} of the report")


def gallery(images: Sequence[ImageCard], empty: str = "No images.") -> Fragment:
    """Return images with their captions; without images, the sentence `empty`."""
    if not images:
        return paragraph(empty)
    html = _render_macro("macros", "gallery", images, len(images))
    return Fragment(html, f"{pluralize(len(images), 'image')}: {', '.join(file_name(image.path) for image in images)}")


def galleries(titled: Sequence[tuple[str, Sequence[ImageCard]]], empty: str = "No images.") -> Fragment:
    """Return several galleries, each under its title."""
    if not titled:
        return paragraph(empty)
    text = "\n".join(f"{title}: {pluralize(len(images), 'image')}" for title, images in titled)
    return Fragment(_render_macro("fragments", "titled", titled), text)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], empty: str = "Nothing to show.") -> Fragment:
    """Return a table: integers with thousands separators, other numbers as per cent, the rest as text."""
    if not rows:
        return paragraph(empty)
    text = align_columns([list(head), *([str(cell) for cell in row] for row in rows)])
    return Fragment(_render_macro("fragments", "plain", head, rows), "\n".join(text))


def rate_table(heading: str, what: str, rows: Sequence[Rate], empty: str) -> Fragment:
    """Return a table of rates with their intervals; `what` is the heading of the hits."""
    if not rows:
        return paragraph(empty)
    text = [[row.name, f"{row.hits} of {row.images}", row.share.format(2)] for row in rows]
    return Fragment(_render_macro("fragments", "rates", heading, what, rows), "\n".join(align_columns(text)))


def stat_tiles(pairs: Sequence[tuple[str, int | str]]) -> Fragment:
    """Return large numbers side by side, each with its name."""
    return Fragment(_render_macro("macros", "tiles", pairs), ", ".join(f"{name} {value}" for name, value in pairs))


def confusion(evaluation: Evaluation) -> Fragment:
    """Return the confusion matrix."""
    rows = zip(evaluation.classes, evaluation.confusion, strict=True)
    text = align_columns([["", *evaluation.classes], *([name, *map(str, counts)] for name, counts in rows)])
    return Fragment(_render_macro("macros", "confusion", evaluation), "\n".join(text))


def share_tiles(name: str, share: Interval) -> list[tuple[str, int | str]]:
    """Return the pairs for `stat_tiles` of a fraction and its interval."""
    return [(name, format_percent(share.value)), ("95 % interval", format_interval(share) or UNKNOWN)]


def label_conflicts(title: str, conflicts: Sequence[Conflict], empty: str) -> Fragment:
    """Return images that should have one label but have several, under a title."""
    heading = Fragment(f"<h3>{escape(title)}</h3>", title)
    if not conflicts:
        return heading + paragraph(empty)
    text = "\n".join(f"{', '.join(item.labels)}: {', '.join(item.paths)}" for item in conflicts)
    return heading + Fragment(_render_macro("macros", "conflicting", conflicts), text)


def plot(figure: Figure, alt: str) -> Fragment:
    """Return a plot with its text alternative."""
    from pipelines.reports.plots import to_svg  # slow import (matplotlib)

    return Fragment(to_svg(figure, alt), alt)


def paragraph(text: str) -> Fragment:
    """Return a sentence, shown where there is no data or above other fragments; "" gives an empty fragment."""
    if not text:
        return Fragment("", "")
    return Fragment(_render_macro("macros", "absent", text), text)


def preformatted(text: str) -> Fragment:
    """Return text with its line breaks and columns preserved."""
    return Fragment(f"<pre>{escape(sanitize_text(text))}</pre>", text)


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Return the report's style sheet, with every rule limited to fragments and always in light mode."""
    return (
        read_template("fragments.css")
        + "".join(_scope_rules(read_template("style.css")))
        + read_template("fragments_last.css")
    )


def _scope_rules(sheet: str) -> Iterable[str]:
    """Yield the rules of a style sheet with every selector below SCOPED."""
    for head, body in re.findall(r"([^{}]+)\{((?:[^{}]|\{[^{}]*\})*)\}", sheet):
        head = " ".join(head.split())
        if head.startswith(SKIPPED_RULES):
            continue
        if head.startswith("@"):
            yield f"{head}{{{''.join(_scope_rules(body))}}}"
        else:
            yield f"{','.join(map(_scope_selector, head.split(',')))}{{{' '.join(body.split())}}}"


def _scope_selector(selector: str) -> str:
    first, _, rest = selector.strip().partition(" ")
    return f"{SCOPED} {rest}".strip() if first in (":root", "html", "body") else f"{SCOPED} {first} {rest}".strip()


def _render_macro(file: str, name: str, *values: Any) -> str:
    return str(getattr(template(f"{file}.html.j2").module, name)(*values))
