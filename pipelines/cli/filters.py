"""The options that choose images, as `Filters`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from pipelines.exchange.filters import Filters

_DAY = click.DateTime(["%Y-%m-%d"])


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options for station, day, label and decisions, which reach the command as its argument `filters`."""

    @click.option("--station", "stations", metavar="NAME", multiple=True, help="Only this station; repeatable.")
    @click.option("--since", metavar="YYYY-MM-DD", type=_DAY, help="Only images of this day and later.")
    @click.option("--until", metavar="YYYY-MM-DD", type=_DAY, help="Only images of this day and earlier.")
    @click.option("--label", "names", metavar="LABEL", multiple=True, help="Only this label or prediction; repeatable.")
    @click.option(
        "--reviewed/--not-reviewed", default=None, help="Only images that a person has, or has not, decided on."
    )
    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        stations: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        names: tuple[str, ...],
        reviewed: bool | None,
        **options: Any,
    ) -> Any:
        filters = Filters(stations, since and since.date(), until and until.date(), names, reviewed)
        return command(*arguments, filters=filters, **options)

    return wrapped
