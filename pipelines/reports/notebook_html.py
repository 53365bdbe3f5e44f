"""Pieces of the report as a notebook shows them: each with its style, which touches nothing else on the page."""

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
SCOPED = f".{SCOPE}.{SCOPE}"  # named twice, because Jupyter's own rules for tables name one class
LEFT_OUT = ("@media (prefers-color-scheme: dark)", "@media print")  # the notebook's page decides on these


@dataclass(frozen=True)
class Rate:
    """Hold how many images of a station, or an hour, are of a kind, and their share with its interval."""

    name: str
    images: int
    hits: int
    share: Interval


@dataclass(frozen=True)
class Fragment:
    """Hold a piece of HTML that notebooks show; a terminal gets the text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return f'<div class="{SCOPE}"><style>{stylesheet()}</style>{self.html}</div>'

    def __repr__(self) -> str:
        return self.text

    def __add__(self, other: Fragment) -> Fragment:
        return Fragment(self.html + other.html, f"{self.text}\n{other.text}")


def section(contents: ReportContents, name: str) -> Fragment:
    """Give a section of the report: short, evaluation, images, counts, data or model."""
    html = template(f"{name}.html.j2").render(evaluation=contents.evaluation, **template_context(contents))
    return Fragment(html, f"section {name} of the report")


def gallery(images: Sequence[ImageCard], none: str = "No images.") -> Fragment:
    """Give images with what is known of them; where there are none, the sentence `none`."""
    if not images:
        return paragraph(none)
    html = _macro("macros", "gallery", images, len(images))
    return Fragment(html, f"{pluralize(len(images), 'image')}: {', '.join(file_name(each.path) for each in images)}")


def galleries(titled: Sequence[tuple[str, Sequence[ImageCard]]], none: str = "No images.") -> Fragment:
    """Give several rows of images, each under its title."""
    if not titled:
        return paragraph(none)
    text = "\n".join(f"{title}: {pluralize(len(images), 'image')}" for title, images in titled)
    return Fragment(_macro("fragments", "titled", titled), text)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], none: str = "Nothing to show.") -> Fragment:
    """Give a table: whole numbers with their commas, other numbers as per cent, the rest as text."""
    if not rows:
        return paragraph(none)
    text = align_columns([list(head), *([str(cell) for cell in row] for row in rows)])
    return Fragment(_macro("fragments", "plain", head, rows), "\n".join(text))


def rate_table(heading: str, what: str, rows: Sequence[Rate], none: str) -> Fragment:
    """Give shares with their intervals, one row each; `what` names what is counted."""
    if not rows:
        return paragraph(none)
    text = [[row.name, f"{row.hits} of {row.images}", row.share.format(2)] for row in rows]
    return Fragment(_macro("fragments", "rates", heading, what, rows), "\n".join(align_columns(text)))


def stat_tiles(pairs: Sequence[tuple[str, int | str]]) -> Fragment:
    """Give large numbers side by side, each under its name."""
    return Fragment(_macro("macros", "tiles", pairs), ", ".join(f"{name} {value}" for name, value in pairs))


def confusion(evaluation: Evaluation) -> Fragment:
    """Give what is taken for what."""
    rows = zip(evaluation.classes, evaluation.confusion, strict=True)
    text = align_columns([["", *evaluation.classes], *([name, *map(str, counts)] for name, counts in rows)])
    return Fragment(_macro("macros", "confusion", evaluation), "\n".join(text))


def share_tiles(name: str, share: Interval) -> list[tuple[str, int | str]]:
    """Give the tiles of a share and of its interval."""
    return [(name, format_percent(share.value)), ("95 % interval", format_interval(share) or UNKNOWN)]


def label_conflicts(title: str, conflicts: Sequence[Conflict], none: str) -> Fragment:
    """Give paths that should have one label and have several, under a title."""
    heading = Fragment(f"<h3>{escape(title)}</h3>", title)
    if not conflicts:
        return heading + paragraph(none)
    text = "\n".join(f"{', '.join(each.labels)}: {', '.join(each.paths)}" for each in conflicts)
    return heading + Fragment(_macro("macros", "conflicting", conflicts), text)


def plot(figure: Figure, alt: str) -> Fragment:
    """Give a plot; `alt` says in words what is to be seen."""
    from pipelines.reports.plots import svg  # matplotlib takes long to load

    return Fragment(svg(figure, alt), alt)


def paragraph(text: str) -> Fragment:
    """Give a sentence that stands where there is nothing to see, or that says how to read what follows."""
    if not text:
        return Fragment("", "")
    return Fragment(_macro("macros", "absent", text), text)


def preformatted(text: str) -> Fragment:
    """Give text whose lines and columns are to stay as they are."""
    return Fragment(f"<pre>{escape(sanitize_text(text))}</pre>", text)


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Give the report's style sheet with every rule kept to fragments, on light paper."""
    return (
        read_template("fragments.css")
        + "".join(_scoped(read_template("style.css")))
        + read_template("fragments_last.css")
    )


def _scoped(sheet: str) -> Iterable[str]:
    """Yield the rules of a style sheet, each of its selectors below SCOPED."""
    for head, body in re.findall(r"([^{}]+)\{((?:[^{}]|\{[^{}]*\})*)\}", sheet):
        head = " ".join(head.split())
        if head.startswith(LEFT_OUT):
            continue
        if head.startswith("@"):
            yield f"{head}{{{''.join(_scoped(body))}}}"
        else:
            yield f"{','.join(map(_below, head.split(',')))}{{{' '.join(body.split())}}}"


def _below(selector: str) -> str:
    first, _, rest = selector.strip().partition(" ")
    return f"{SCOPED} {rest}".strip() if first in (":root", "html", "body") else f"{SCOPED} {first} {rest}".strip()


def _macro(file: str, name: str, *values: Any) -> str:
    return str(getattr(template(f"{file}.html.j2").module, name)(*values))
