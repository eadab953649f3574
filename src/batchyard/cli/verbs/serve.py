"""`batchyard serve`: flags become settings, settings become a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from batchyard.cli import talk
from batchyard.cli.program import Verb


def _names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`NAME=SERVED` pairs as a table."""
    table = {}
    for value in values:
        name, equals, served = value.partition("=")
        if not (name and equals and served):
            raise click.BadParameter(f"{value!r} should look like NAME=SERVED")
        table[name] = served
    return table


def _concurrency(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 on")
    return int(value)


@click.command(
    cls=Verb,
    examples=(
        "batchyard serve --engine http://localhost:8000",
        "batchyard serve --engine simulator:latency=50ms --data-dir ./data --port 9000",
    ),
    help="Run the server on your engines.\n\n"
    "Without --engine the usual ports of engines on this machine are tried. What is not given here "
    "comes from BATCHYARD_* variables, then from batchyard.toml, then from the defaults. Upstream "
    "keys come from the environment or a file, never from the command line.",
)
@click.option(
    "--engine", "engines", multiple=True, metavar="SPEC",
    help="An engine: http(s)://…, openai+http://…, anthropic+http://…, anthropic, llama:FILE.gguf, "
    "simulator. Repeat it for more.",
)  # fmt: skip
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free "
              "one.  [default: 8484]")  # fmt: skip
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False),
              help="Where everything is kept.")  # fmt: skip
@click.option("--role", type=click.Choice(["all", "api", "dispatch"]),
              help="Which half to run.  [default: all]")  # fmt: skip
@click.option("--concurrency", metavar="N|auto", callback=_concurrency,
              help="Requests in flight per engine.  [default: auto]")  # fmt: skip
@click.option("--alias", "aliases", multiple=True, metavar="NAME=SERVED", callback=_names,
              help="A name under which clients may ask for a served model. Repeat it for more."
              )  # fmt: skip
@click.option("--no-auto-alias", is_flag=True,
              help="Do not let claude-* mean the only served model.")  # fmt: skip
@click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False),
              help="The config file, instead of batchyard.toml in the usual places.")  # fmt: skip
@click.option("--public-url", metavar="URL", help="How clients reach this server.")
@click.option("--insecure-no-auth", is_flag=True,
              help="Listen beyond this machine without API keys.")  # fmt: skip
@click.option("--request-timeout", "request_timeout_seconds", type=click.IntRange(1),
              metavar="SECONDS", help="Longest wait for one answer of an engine.  [default: 600]"
              )  # fmt: skip
@click.option("--drain-seconds", type=click.IntRange(0), metavar="SECONDS",
              help="Time for answers in flight at shutdown.  [default: 20]")  # fmt: skip
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]),
              help="Least severe log line written.  [default: warning]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True,
              help="Print one JSON event when ready, in place of the banner.")  # fmt: skip
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback with an error.")
def serve_command(
    *,
    config_file: Path | None,
    aliases: dict[str, str],
    no_auto_alias: bool,
    insecure_no_auth: bool,
    as_json: bool,
    until_stdin_ends: bool,
    **flags: Any,
) -> int:
    from batchyard.config import Settings
    from batchyard.server import run

    settings = Settings.load(
        config_file,
        auto_alias=False if no_auto_alias else None,
        insecure_no_auth=insecure_no_auth or None,
        models={"aliases": aliases} if aliases else None,
        **flags,
    )
    return run(
        settings, until_stdin_ends=until_stdin_ends, on_ready=_say_ready if as_json else None
    )


def _say_ready(url: str | None, models: Sequence[str]) -> None:
    talk.event("ready", url=url, models=models)
