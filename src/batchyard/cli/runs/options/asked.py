"""What the user asked for: the options of a run's verbs, each group of them one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from batchyard.cli.display import Mode
from batchyard.cli.runs.options.values import Tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where rows go: a server's address, or engines for a server of the run's own."""

    server: str | None
    engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of each row, as the options say it; `Task.make` checks it."""

    prompt: str | None
    prompt_file: Path | None
    system: str | None
    turn: tuple[tuple[str, str], ...]
    model: str | None
    schema: str | None
    image: tuple[str, ...]
    document: tuple[str, ...]
    tools: Path | None
    param: tuple[tuple[str, object], ...]
    max_tokens: int | None
    cache_prefix: bool
    as_tool: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Which rows, and how to read them."""

    file: str
    format: str | None
    encoding: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the answers go, and what stands beside them. `meta_prefix` is None for no meta."""

    output: str | None
    force: bool
    raw: bool
    meta_prefix: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How rows are sent, how often again, and what may be spent on it."""

    batch_size: int | None
    in_process: int
    repair: int
    max_cost: float | None
    max_tokens_total: int | None
    max_hours: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the verb behaves: what it asks, what it prints, when it fails."""

    sample: int
    yes: bool
    dry_run: bool
    again: str | None
    fail_on: Tolerance
    mode: Mode
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All of it."""

    input: Input
    question: Question
    where: Where
    target: Target
    pace: Pace
    manner: Manner


def asked(flags: dict[str, Any]) -> Asked:
    """The options as one value; raises `click.UsageError` where two exclude each other."""
    flags = dict(flags)
    if flags["prompt"] is not None and flags["prompt_file"] is not None:
        raise click.UsageError("--prompt and --prompt-file exclude each other")
    if flags.pop("no_meta"):
        flags["meta_prefix"] = None
    if flags.pop("no_sample"):
        flags["sample"] = 0
    new, only_missing = flags.pop("new"), flags.pop("only_missing")
    if new and only_missing:
        raise click.UsageError("--new and --only-missing exclude each other")
    flags["again"] = "new" if new else "only-missing" if only_missing else None
    flags["as_json"] = spoken_json(flags)

    def take(kind: Any) -> Any:
        return kind(**{name: flags[name] for name in kind.__dataclass_fields__})

    return Asked(
        input=take(Input),
        question=take(Question),
        where=where(flags["server"], flags["engines"]),
        target=take(Target),
        pace=take(Pace),
        manner=take(Manner),
    )


def spoken_json(flags: dict[str, Any]) -> bool:
    """Whether events are wanted; raises `click.UsageError` where rows want the same stream."""
    as_json = bool(flags["as_json"] or flags["mode"] == "json")
    if as_json and flags["output"] == "-":
        raise click.UsageError("events and rows cannot share standard output: name a file with -o")
    return as_json


def where(server: str | None, engines: tuple[str, ...]) -> Where:
    """Engines go before a server that only the environment names."""
    source = click.get_current_context().get_parameter_source("server")
    if engines and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "--server and --engine exclude each other: rows go to a server, or to engines under a "
            "server of this run's own"
        )
    return Where(server=None if engines else server, engines=engines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """What may be different when a run goes on; None is what it was before."""

    run: str | None
    where: Where | None
    output: str | None
    force: bool
    max_cost: float | None
    max_tokens_total: int | None
    max_hours: float | None
    fail_on: Tolerance
    mode: Mode
    as_json: bool


def continued(flags: dict[str, Any]) -> Continued:
    """The options of `resume` and `retry` as one value; raises `click.UsageError`."""
    flags = dict(flags)
    server, engines = flags.pop("server"), flags.pop("engines")
    elsewhere = where(server, engines) if server or engines else None
    flags["as_json"] = spoken_json(flags)
    return Continued(where=elsewhere, **flags)
