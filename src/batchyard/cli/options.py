"""Options that several verbs share, and what they turn into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

DEFAULT_SERVER = "http://127.0.0.1:8484"
KEY_VARIABLES = ("BATCHYARD_API_KEY", "ANTHROPIC_API_KEY")

F = TypeVar("F", bound=Callable[..., Any])


class ServerUrl(click.ParamType[str]):
    """Where a server is: scheme, host, perhaps a port and a path prefix."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip().rstrip("/").removesuffix("/v1")
        if "://" not in text:
            self.fail(f"{text!r} has no scheme; did you mean http://{text}?", param, ctx)
        try:
            parts = urlsplit(text)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment:
            self.fail(f"{text!r} is not the address of a server, like {DEFAULT_SERVER}", param, ctx)
        if parts.username or parts.password:
            self.fail(
                f"a server's address holds no credentials: use {KEY_VARIABLES[0]}", param, ctx
            )
        return text


def json_options(function: F) -> F:
    """`--json` and `--debug`: what every verb takes. The latter is read where errors end."""
    function = click.option(
        "--debug", is_flag=True, expose_value=False, help="Show a traceback with an error."
    )(function)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON envelopes instead of words."
    )(function)


def server_options(function: F) -> F:
    """`--server`, and what every verb takes."""
    function = json_options(function)
    return click.option(
        "--server",
        type=ServerUrl(),
        envvar=["BATCHYARD_SERVER", "ANTHROPIC_BASE_URL"],
        default=DEFAULT_SERVER,
        show_default=True,
        show_envvar=True,
        help="Where the server is. The key is read from the environment only: "
        f"{' or '.join(KEY_VARIABLES)}.",
    )(function)
