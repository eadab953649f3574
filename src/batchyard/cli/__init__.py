"""The verbs on the command line: stdout is data, stderr is talk, the exit code is the verdict."""

from __future__ import annotations


def main() -> None:
    """The `batchyard` command; ends the process with the exit code of the verb."""
    from batchyard.cli.program import program

    program()
