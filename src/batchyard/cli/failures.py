"""How a verb ends badly: one exit code and three lines (or one JSON event) for every error."""

from __future__ import annotations

import errno
import os
import sys
import traceback

import click

from batchyard import errors
from batchyard.cli import extras, talk

OK, INTERNAL, USAGE, FAILED_REQUESTS, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""The exit codes: part of the contract, listed in the reference of the command line."""


class Stopped(Exception):
    """A verb that was interrupted; its message says what goes on and how to return to it.

    Without a message everything has been said.
    """


_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (click.UsageError, USAGE),
    (errors.ConfigurationError, USAGE),
    (errors.BadRequestsFile, USAGE),
    (errors.BadInput, USAGE),
    (errors.BadPrompt, USAGE),
    (errors.BadOutput, USAGE),
    (errors.RunChanged, USAGE),
    (errors.NoRun, USAGE),
    (errors.CapReached, REFUSED),
    (errors.NotThisApi, USAGE),
    (errors.ServerUnreachable, UNREACHABLE),
    (errors.ServiceUnavailable, UNREACHABLE),
    (errors.Overload, UNREACHABLE),
    (errors.RateLimited, REFUSED),
    (errors.PermissionDenied, REFUSED),
    (errors.Refused, USAGE),
    (errors.DataDirectoryBusy, USAGE),
    (FileNotFoundError, USAGE),
    (NotADirectoryError, USAGE),
    (IsADirectoryError, USAGE),
    (PermissionError, USAGE),
    (Stopped, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
    (click.Abort, INTERRUPTED),
)


def exit_code(error: BaseException) -> int:
    """What the shell is told."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL)


def tell(error: BaseException, arguments: list[str]) -> int:
    """Print `error` as the arguments ask (`--json`, `--debug`) and return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader has seen enough (`| head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        talk.say(error.format_message())
        return USAGE
    if "--debug" in arguments:
        traceback.print_exception(error)
    error = extras.as_error(error)
    fields = _described(error, arguments)
    if not fields["message"]:
        return exit_code(error)
    if "--json" in arguments:
        talk.event("error", **{name: text for name, text in fields.items() if text})
    else:
        for line in _layout(fields):
            talk.say(line)
    return exit_code(error)


def _layout(fields: dict[str, str]) -> list[str]:
    """`error:`, `fix:`, `or:` and `docs:`, their colons under each other, long ones indented."""
    parts = {"error": fields["message"], "fix": fields.get("fix"), "docs": fields.get("docs")}
    return [f"{name:>5}: {_hanging(text)}" for name, text in parts.items() if text]


def _hanging(text: str) -> str:
    first, *more = text.split("\n")
    return "\n".join(
        [first, *(" " * (3 if line.startswith("or: ") else 7) + line for line in more)]
    )


def _described(error: BaseException, arguments: list[str]) -> dict[str, str]:
    """What failed, the way out, and where to read on."""
    if isinstance(error, click.UsageError):
        return _usage(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return {"code": "interrupted", "message": "interrupted"}
    if isinstance(error, Stopped):
        return {"code": "interrupted", "message": str(error)}
    if isinstance(error, click.ClickException):
        return {"code": "usage", "message": error.format_message()}
    if isinstance(error, errors.BatchyardError):
        code = getattr(error, "anchor", error.code)
        return {
            "code": code,
            "message": error.message,
            "fix": error.fix or "",
            "docs": error.docs or help_of(arguments),
        }
    if _is_full_disk(error):
        return {
            "code": "storage",
            "message": f"the disk takes no more: {error}; what was written before is kept",
            "fix": "free some space, then go on: batchyard resume",
        }
    if isinstance(error, OSError) and error.filename:
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
        return {"code": "file", "message": message, "docs": help_of(arguments)}
    return {
        "code": "internal",
        "message": f"internal error: {type(error).__name__}: {error}",
        "fix": "run it again with --debug and report what it prints",
    }


def _is_full_disk(error: BaseException) -> bool:
    """Whether there was no room left, as the system or SQLite says it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return type(error).__module__ == "sqlite3" and "full" in str(error)


def _usage(error: click.UsageError) -> dict[str, str]:
    """A mistake on the command line, with the nearest name that exists."""
    path = error.ctx.command_path if error.ctx else "batchyard"
    nearest: str = next(iter(getattr(error, "possibilities", None) or []), "")
    # With a name to suggest, click's own words would suggest it a second time.
    message = error.message if nearest else error.format_message()
    fix = nearest and f"{path} {nearest}"
    return {"code": "usage", "message": _sentence(message), "fix": fix, "docs": f"{path} --help"}


def _sentence(text: str) -> str:
    """Click's message in our layout: no capital after `error:`, no full stop."""
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]


def help_of(arguments: list[str]) -> str:
    """The help page of the verb that `arguments` name."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    return f"batchyard {verb} --help".replace("  ", " ")
