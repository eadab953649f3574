"""All benchmarks, or those named, one after the other; `--write` puts their tables into RESULTS.md.

A table goes between the marks `<!-- name -->` and `<!-- /name -->`; the words around it stay.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
MARKS = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def measured(name: str) -> str:
    """The table that `benchmarks.<name>` prints; its progress is shown as it comes."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def with_table(text: str, name: str, table: str) -> str:
    """`text` with `table` between the marks of `name`."""
    return MARKS.sub(lambda at: at[1] + table + at[3] if at[2] == name else at[0], text)


def main() -> None:
    """Run them, print each table when it is there."""
    known = [found[2] for found in MARKS.finditer(RESULTS.read_text())]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {RESULTS.name}")
    told = parser.parse_args()
    if unknown := sorted(set(told.names) - set(known)):
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in told.names or known:
        table = measured(name)
        print(table, flush=True)
        if told.write:
            RESULTS.write_text(with_table(RESULTS.read_text(), name, table))


if __name__ == "__main__":
    main()
