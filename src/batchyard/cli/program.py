"""The `batchyard` program: a group that imports a verb only when it is called."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import click

from batchyard import __version__
from batchyard.cli import failures

VERBS: dict[str, tuple[str, str]] = {
    "run": ("run", "Label a file: ask a model about every row."),
    "estimate": ("run", "Say what a run would take, and stop."),
    "resume": ("resume", "Go on with a run that has not ended."),
    "retry": ("resume", "Ask the failed rows of a run once more."),
    "runs": ("runs", "List the runs of this folder, newest first."),
    "show": ("runs", "Show how a run stands, or a batch."),
    "submit": ("files", "Send ready-made requests, as many batches as they need."),
    "convert": ("files", "Turn a dataset into another format."),
    "serve": ("serve", "Run the server on your engines."),
    "create": ("batches", "Create a batch from a file of requests."),
    "retrieve": ("batches", "Show one batch."),
    "list": ("batches", "List batches, newest first."),
    "watch": ("watch", "Follow a batch until it ends."),
    "results": ("results", "Fetch the results of a batch that has ended."),
    "cancel": ("batches", "Stop what has not been sent yet."),
    "delete": ("batches", "Delete a batch that has ended, with its results."),
    "doctor": ("doctor", "Check the server, its engines and this machine."),
    "keys": ("keys", "Create, list and revoke API keys."),
    "version": ("version", "Print the version."),
}
"""Each verb: the module of `cli.verbs` that has it, and its line in the overview."""


class Verb(click.Command):
    """A command whose help opens with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)


class Nouns(click.Group):
    """A group of verbs for one noun, its help opening with examples too."""

    command_class = Verb

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            raise click.exceptions.NoSuchCommand(
                name, possibilities=self.list_commands(ctx), ctx=ctx
            )
        return super().resolve_command(ctx, args)


class Program(Nouns):
    """The top of the tree. Errors end here, as words on stderr and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"batchyard.cli.verbs.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def main(  # type: ignore[override] # standalone here means: exit with our codes, in our words
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's own signature
        **extra: Any,
    ) -> int:
        arguments = list(sys.argv[1:] if args is None else args)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A sign that the terminal lacks is worth a question mark, not a traceback.
            sys.stdout.reconfigure(errors="replace")
        try:
            code = super().main(
                arguments, prog_name or "batchyard", complete_var, standalone_mode=False, **extra
            )
            sys.stdout.flush()  # a reader that has gone is noticed here, not at exit
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: told, not raised
            code = failures.tell(error, arguments)
        code = code if isinstance(code, int) else failures.OK
        if standalone_mode:
            sys.exit(code)
        return code


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """The first lines of every help page."""
    if not examples:
        return
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
    formatter.write_paragraph()


@click.group(
    "batchyard",
    cls=Program,
    examples=(
        "batchyard serve --engine http://localhost:8000",
        "batchyard create requests.jsonl && batchyard watch",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="The Message Batches API on your own engines.",
)
@click.version_option(__version__, message="batchyard %(version)s")
def program() -> None:
    """The root; everything happens in the verbs."""
