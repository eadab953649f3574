"""The first lines a server prints: where it is, what it found, where data lies, how to use it."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import batchyard
from batchyard.config import Settings
from batchyard.routing import Routing
from batchyard.server.listen import is_loopback
from batchyard.terminal import Style, Text, takes_colour

SHOWN_MODELS_MAX = 3

_COLOURED = re.compile(
    r"(?P<name>^batchyard)|(?P<title>^(?:engines|models|storage|auth)\b)"
    r"|(?P<good>✓)|(?P<url>https?://\S+)"
)
_STYLES: dict[str, Style] = {"name": "bold", "title": "dim", "good": "green", "url": "cyan"}


@dataclass(frozen=True, slots=True)
class Found:
    """An engine as the banner shows it. `models` None means that it has not told them yet.

    `note` says how it is asked, or why it is not up.
    """

    up: bool
    label: str
    url: str
    models: tuple[str, ...] | None
    note: str


def banner(
    settings: Settings,
    *,
    origin: str | None,
    engines: Sequence[Found],
    routing: Routing,
    keys: bool,
) -> list[str]:
    """The lines. `origin` is where this machine reaches the server, None for dispatch alone;
    `keys` says whether any exist."""
    url = settings.public_url or origin
    lines = [
        f"batchyard {batchyard.__version__} · {url if origin else 'dispatch only'}",
        "",
        *_block("engines", _engine_lines(engines)),
        *_block("models", _model_lines(settings, routing)),
        *_block("storage", [_storage(settings)]),
    ]
    if origin is None:
        return lines
    return [
        *lines,
        *_block("auth", [_auth(settings, keys=keys)]),
        "",
        "Use it from the code you have:",
        f"    export ANTHROPIC_BASE_URL={url}",
        f"    export ANTHROPIC_API_KEY={'<your key>' if _keys_asked(settings, keys) else 'local'}",
    ]


def show(lines: Sequence[str]) -> None:
    """Print to standard output: in colour on a terminal, plainly elsewhere. Never fails."""
    colour = takes_colour(sys.stdout)
    # Whoever read our output may have left (`| head`).
    with contextlib.suppress(OSError):
        for line in lines:
            sys.stdout.write(_coloured(_printable(line)).painted(colour=colour) + "\n")
        sys.stdout.flush()


def _coloured(line: str) -> Text:
    text, at = Text(), 0
    for found in _COLOURED.finditer(line):
        assert found.lastgroup is not None
        text.append(line[at : found.start()]).append(found[0], _STYLES[found.lastgroup])
        at = found.end()
    return text.append(line[at:])


def _printable(line: str) -> str:
    """`line` with stand-ins for what the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        for sign, plain in (("✓", "+"), ("·", "-"), ("→", "->")):
            line = line.replace(sign, plain)
        return line.encode("ascii", "replace").decode()
    return line


def _block(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title if not number else '':10}{line}" for number, line in enumerate(lines)]


def _engine_lines(engines: Sequence[Found]) -> list[str]:
    label_width = max((len(engine.label) for engine in engines), default=0)
    url_width = max((len(engine.url) for engine in engines), default=0)
    return [
        "   ".join(
            part
            for part in (
                f"{'✓' if engine.up else '·'} {engine.label:{label_width}}",
                f"{engine.url:{url_width}}" if url_width else "",
                _listed(engine.models) if engine.models is not None and engine.up else "",
                engine.note,
            )
            if part
        ).rstrip()
        for engine in engines
    ] or ["· none"]


def _listed(models: Sequence[str]) -> str:
    shown = ", ".join(models[:SHOWN_MODELS_MAX]) or "any model"
    more = len(models) - SHOWN_MODELS_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _model_lines(settings: Settings, routing: Routing) -> list[str]:
    """What a client may ask for besides the served names."""
    lines = [f"{name}  →  {served}" for name, served in settings.models.aliases.items()]
    served = routing.models()
    if routing.resolve("claude-*") is not None and len(served) == 1:
        lines.append(
            f"claude-*  →  {served[0].id}    (only one model served; turn off with --no-auto-alias)"
        )
    return lines or ["by the names the engines serve"]


def _storage(settings: Settings) -> str:
    days = settings.limits.results_seconds / 86_400
    kept = f"{days:g} {'day' if days == 1 else 'days'}"
    return f"sqlite {_tilde(settings.data_dir / 'batchyard.db')} · results kept {kept}"


def _auth(settings: Settings, *, keys: bool) -> str:
    if keys:
        return "API keys"
    if is_loopback(settings.host):
        return f"off, because the server listens on {settings.host} only"
    return f"off, although the server listens on {settings.host}: anyone who reaches it may use it"


def _keys_asked(settings: Settings, keys: bool) -> bool:  # noqa: FBT001 (one fact, named above)
    return keys or not (is_loopback(settings.host) or settings.insecure_no_auth)


def _tilde(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
