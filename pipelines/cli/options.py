"""The click group of `irbis`, and the options shared by its commands."""

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
    """Standard output was closed by its reader."""


class Commands(click.Group):
    """Group that reports a closed pipe as OutputClosed; click itself would exit with 1, as after any error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise OutputClosed from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="irbis")
def irbis() -> None:
    """Transfer learning for images on Spark: images to features to predictions."""


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command, which receives them as `origins` and `verbose`."""

    def wrapped(env: str | None, assignments: tuple[str, ...], verbose: bool, **options: Any) -> Any:
        named = {name: options.pop(name) for name in SETTING_OPTIONS}
        return command(origins=collect_settings(env, assignments, named), verbose=verbose, **options)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__dict__.update(command.__dict__)
    for name, (_, metavar, text) in reversed(SETTING_OPTIONS.items()):
        wrapped = click.option(f"--{name}", metavar=metavar, help=text)(wrapped)
    wrapped = click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="Set any setting.")(wrapped)
    wrapped = click.option("--env", metavar="NAME", help="Read settings from conf/NAME.yaml or a .yaml file.")(wrapped)
    return click.option("--verbose", is_flag=True, help="Show the output of Spark and Ivy, and tracebacks.")(wrapped)


def apply_dataset(origins: dict[str, SourcedValue], spark: Any, settings: Settings) -> Settings:
    """Return the settings with the dataset named by sources.dataset; print its address if it is a URI.

    The dataset may have been registered by anybody who can write to the workspace, and its server is sent the
    credentials of whoever reads it.
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
