"""`batchyard version`: which program this is, and on what it runs."""

from __future__ import annotations

import platform

import click

from batchyard import __version__
from batchyard.cli import talk
from batchyard.cli.options import json_options
from batchyard.cli.program import Verb


@click.command(
    cls=Verb,
    examples=("batchyard version", "batchyard version --json"),
    help="Print the version.\n\nWith --json also the Python and the platform it runs on.",
)
@json_options
def version_command(*, as_json: bool) -> None:
    if as_json:
        talk.event(
            "version",
            version=__version__,
            python=platform.python_version(),
            platform=platform.platform(),
        )
    else:
        talk.data(f"batchyard {__version__}")
