"""The group that every command of `irbis` belongs to, and the options that all of them take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pipelines import __version__
from pipelines.config.loader import SourcedValue, build_settings
from pipelines.config.overrides import SETTING_OPTIONS, collect_settings
from pipelines.config.settings import Settings
from pipelines.databricks.secrets import resolve_secrets


class OutputClosed(Exception):
    """Nobody reads standard output any more."""


class Commands(click.Group):
    """Group commands, and keep a closed pipe apart: click itself would end with 1, as after any error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise OutputClosed from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="irbis")
def irbis() -> None:
    """Images to features to predictions, on Spark."""


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that all commands have; it gets them as `origins` and `verbose`."""

    def wrapped(env: str | None, assignments: tuple[str, ...], verbose: bool, **given: Any) -> Any:
        named = {name: given.pop(name) for name in SETTING_OPTIONS}
        return command(origins=collect_settings(env, assignments, named), verbose=verbose, **given)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__dict__.update(command.__dict__)
    for name, (_, metavar, text) in reversed(SETTING_OPTIONS.items()):
        wrapped = click.option(f"--{name}", metavar=metavar, help=text)(wrapped)
    wrapped = click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Any setting.")(wrapped)
    wrapped = click.option("--env", metavar="NAME", help="Settings of conf/NAME.yaml, or a .yaml file.")(wrapped)
    return click.option("--verbose", is_flag=True, help="Show what Spark and Ivy say.")(wrapped)


def apply_dataset(origins: dict[str, SourcedValue], spark: Any, settings: Settings) -> Settings:
    """Give the settings with what the name in sources.dataset stands for; say so if that is an address.

    Everybody who works in the workspace may have registered it, and it is shown the credentials of who reads it.
    """
    name = settings.sources.dataset
    if not name:
        return settings
    from pipelines.stages.datasets import apply_dataset

    settings = resolve_secrets(build_settings(apply_dataset(origins, spark, settings)))
    address = str(settings.sources.images)
    if "://" in address:
        click.echo(f"dataset {name}: {address}", err=True)
    return settings
