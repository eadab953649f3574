"""What holds for every verb: help, suggestions, the layout of errors, exit codes, lazy imports."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from batchyard import errors
from batchyard.cli import failures
from batchyard.cli.program import VERBS, Nouns, Verb, program
from tests.cli.conftest import Shell

HEAVY = {
    "alembic", "asyncio", "httpx2", "platformdirs", "pydantic",
    "sqlalchemy", "ssl", "starlette", "structlog", "uvicorn",
    "batchyard.api", "batchyard.client", "batchyard.config", "batchyard.dispatch",
    "batchyard.engines", "batchyard.server", "batchyard.store",
}  # fmt: skip


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with what must be typed to reach it."""
    ctx = click.Context(program)
    for name in program.list_commands(ctx):
        command = program.get_command(ctx, name)
        assert command is not None
        yield name, command
        if isinstance(command, Nouns):
            yield from ((f"{name} {verb}", inner) for verb, inner in command.commands.items())


@pytest.mark.parametrize("words", ["", *(words for words, _ in commands())])
def test_every_help_page_opens_with_two_examples_of_itself(alone: Shell, words: str) -> None:
    done = alone(*words.split(), "--help")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "Examples:"
    examples = lines[1 : lines.index("")]
    assert len(examples) == 2
    assert all(f"batchyard {words}".strip() in example for example in examples)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_verb_speaks_json(words: str) -> None:
    command = dict(commands())[words]
    options = {option for one in command.params for option in one.opts}
    assert ("--json" in options) == (words != "keys")
    assert ("--debug" in options) == (words != "keys")


@pytest.mark.parametrize("name", VERBS)
def test_the_overview_says_what_the_verb_says_of_itself(name: str) -> None:
    command = dict(commands())[name]
    assert isinstance(command, (Verb, Nouns))
    assert command.help is not None
    assert command.help.splitlines()[0] == VERBS[name][1]


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["serv"], "batchyard serve"),
        (["retreive", "x"], "batchyard retrieve"),
        (["keys", "creat"], "batchyard keys create"),
        (["create", "--sever", "x"], "batchyard create --server"),
        (["serve", "--engin", "x"], "batchyard serve --engine"),
        (["watch", "--progres", "bar"], "batchyard watch --progress"),
    ],
)
def test_what_is_misspelt_gets_the_nearest_name(
    alone: Shell, arguments: list[str], fix: str
) -> None:
    done = alone(*arguments)
    assert done.code == failures.USAGE
    assert done.out == ""
    error, fixed, docs = done.err.splitlines()
    assert error.startswith("error: no such ")
    assert fixed == f"  fix: {fix}"
    assert docs.startswith(" docs: batchyard ")
    assert docs.endswith("--help")


def test_a_value_that_cannot_be_names_what_can(alone: Shell) -> None:
    done = alone("watch", "--progress", "spin")
    assert done.code == 2
    assert "'auto', 'bar', 'plain', 'json', 'none'" in done.err


def test_nothing_asked_for_is_the_overview(alone: Shell) -> None:
    done = alone()
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err


def test_with_json_an_error_is_one_event_on_stdout(alone: Shell) -> None:
    done = alone("list", "--json")
    assert done.code == failures.UNREACHABLE
    assert done.err == ""
    (event,) = done.events
    assert event["event"] == "error"
    assert event["code"] == "server_unreachable"
    assert "Connection refused" in event["message"]
    assert "batchyard serve" in event["fix"]
    assert event["docs"] == "batchyard list --help"


def test_a_traceback_is_shown_on_demand_only(alone: Shell) -> None:
    assert "Traceback" not in alone("list").err
    assert "Traceback" in alone("list", "--debug").err


def test_a_defect_says_how_to_report_it(alone: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("so it goes")

    monkeypatch.setattr("batchyard.cli.verbs.batches.ask", broken)
    done = alone("list")
    assert done.code == failures.INTERNAL
    assert "internal error: ZeroDivisionError: so it goes" in done.err
    assert "--debug" in done.err


def test_the_version_is_one_line(alone: Shell) -> None:
    from batchyard import __version__

    assert alone("version").out == f"batchyard {__version__}\n" == alone("--version").out
    (event,) = alone("version", "--json").events
    assert event["version"] == __version__


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 2),
        (errors.ConfigurationError("x"), 2),
        (errors.BadRequestsFile("x"), 2),
        (errors.NotThisApi("x"), 2),
        (errors.InvalidRequest("x"), 2),
        (errors.AuthenticationFailed("x"), 2),
        (errors.NotFound("x"), 2),
        (errors.RequestTooLarge("x"), 2),
        (errors.DataDirectoryBusy("x"), 2),
        (errors.PermissionDenied("x"), 4),
        (errors.RateLimited("x"), 4),
        (errors.ServiceUnavailable("x"), 5),
        (errors.Overload("x"), 5),
        (errors.ServerUnreachable("x"), 5),
        (KeyboardInterrupt(), 130),
        (failures.Stopped("x"), 130),
        (errors.StorageFailed("x"), 1),
        (ValueError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert failures.exit_code(error) == code


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "No space left on device", "rows.db"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
def test_a_full_disk_is_no_defect(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.tell(error, []) == failures.INTERNAL
    told = capsys.readouterr().err
    assert "what was written before is kept" in told
    assert "batchyard resume" in told


def test_strangers_words_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failures.tell(errors.NotFound("a\x1b[2Jb\x07c\x9bd\ne"), [])
    assert capsys.readouterr().err.startswith("error: a?[2Jb?c?d\n       e\n")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_imports_nothing_heavy() -> None:
    found = run_python(
        "import sys, json\n"
        "from batchyard.cli.program import program\n"
        "program(['--help'], standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(found.splitlines()[-1]))
    assert "batchyard.cli.program" in loaded
    assert loaded & HEAVY == set()


def test_help_of_no_verb_imports_a_server_room() -> None:
    found = run_python(
        "import sys, json\n"
        "from batchyard.cli.program import VERBS, program\n"
        "for verb in VERBS:\n"
        "    program([verb, '--help'], standalone_mode=False)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    rooms = {"server", "api", "store", "dispatch", "engines", "config"}
    loaded = set(json.loads(found.splitlines()[-1]))
    assert "batchyard.cli.verbs.watch" in loaded
    assert loaded & ({f"batchyard.{room}" for room in rooms} | {"sqlalchemy", "starlette"}) == set()


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "batchyard", "version"], capture_output=True, text=True, check=False
    )
    script = Path(sys.executable).with_name("batchyard")
    same = subprocess.run([script, "version"], capture_output=True, text=True, check=False)
    assert done.stdout == same.stdout != ""


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m batchyard serve --help | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "Examples:\n0\n"
