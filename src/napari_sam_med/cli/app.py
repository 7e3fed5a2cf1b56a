"""The command ``napari-sam-med``: registers the commands and turns errors into sentences and exit statuses."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_sam_med import __version__
from napari_sam_med.cli import (
    cache,
    click_map,
    console,
    demo,
    evaluate,
    info,
    models,
    report,
    robustness,
    segment,
    train_builtin,
)
from napari_sam_med.core.errors import SamMedError

app = typer.Typer(
    name="napari-sam-med",
    help="Segment CT and MR volumes with SAM-like models, score the masks and see why they fail.",
    epilog="For research; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # joins the lines of a paragraph, whatever the width
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("info")(info.info)
app.command("segment")(segment.segment)
app.command("evaluate")(evaluate.evaluate)
app.command("robustness")(robustness.robustness)
app.command("click-map")(click_map.click_map)
app.command("report")(report.report)
app.command("models")(models.models)
app.add_typer(cache.app, name="cache")
app.command("train-builtin")(train_builtin.train_builtin)

_debugging = False


def _version(asked: bool) -> None:
    if asked:
        console.say(f"napari-sam-med {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    global _debugging  # the handler in `run` lives outside of any command
    _debugging = debug
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("napari_sam_med").setLevel(logging.DEBUG if debug else logging.WARNING)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one command; see :func:`napari_sam_med.cli.main`."""
    global _debugging
    _debugging = False
    console.tolerate_narrow_encodings()
    try:
        app(args=None if arguments is None else list(arguments))
    except SamMedError as error:
        if _debugging:
            raise
        console.err().print(f"Error: {error}", style="red", soft_wrap=True)
        sys.exit(1)
