"""What a run says before, between and after: pure text, as wide as the terminal is."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from batchyard.cli import talk
from batchyard.cli.shown import number
from batchyard.terminal import Text, columns

LABEL = 14
"""Where the text of a line begins, under its neighbours."""

COLUMNS_SHOWN = 12
CELL_MIN, CELL_MAX = 8, 40


def rows(many: int) -> str:
    """`20 000 rows`, `1 row`."""
    return f"{number(many)} row{'s' * (many != 1)}"


def labelled(label: str, text: str) -> str:
    """`prompt        uses review_text`."""
    return f"{label:<{LABEL - 3}}   {text}"


def header(name: str, many: int, there: Sequence[str], marks: talk.Marks) -> str:
    """`reviews.csv   20 000 rows · columns: id, review_text, stars, country`."""
    if not there:
        return labelled(name, f"{number(many)} request{'s' * (many != 1)}")
    listed = ", ".join(there[:COLUMNS_SHOWN])
    more = len(there) - COLUMNS_SHOWN
    listed += f" and {more} more" if more > 0 else ""
    return labelled(name, f"{rows(many)} {marks.none} columns: {listed}")


def question(used: Iterable[str], there: Sequence[str], schema: Sequence[str] | None,
             marks: talk.Marks) -> str:  # fmt: skip
    """`prompt   uses review_text ✓     schema  sentiment, reason ✓`; columns in their order."""
    found = set(used)
    names = [name for name in there if name in found]
    uses = f"uses {', '.join(names)} {marks.good}" if names else "the same for every row"
    text = labelled("prompt", uses)
    return text if schema is None else f"{text}     schema  {', '.join(schema)} {marks.good}"


def sampled(valid: int, asked: int) -> str:
    """`sample        5 of 5 rows valid`."""
    return labelled("sample", f"{number(valid)} of {rows(asked)} valid")


def table(
    names: Sequence[str], values: Sequence[Mapping[str, object]], width: int, marks: talk.Marks
) -> list[str]:
    """Rows under their columns, indented, cut where the terminal ends; the last columns, where
    not even their beginnings fit, are left out."""
    names = names[: max(1, width // (CELL_MIN + 2))]
    cells = [list(names), *([_cell(row.get(name)) for name in names] for row in values)]
    room = _shares([max(map(columns, column)) for column in zip(*cells, strict=True)], width - 2)
    return ["  " + _line(line, room, marks) for line in cells] if names else []


def wrapped(label: str, text: str, width: int) -> list[str]:
    """A text behind its label, on as many lines as it needs."""
    return textwrap.wrap(
        " ".join(text.split()), max(width, 2 * len(label)),
        initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False,
    )  # fmt: skip


def ask(many: int) -> str:
    """`Run 20 000 rows?`; the terminal adds `[Y/n]`."""
    return f"Run {rows(many)}?"


def interrupted(folder: str, counts: tuple[int, int], *, command: str) -> list[str]:
    """What Ctrl-C leaves: `counts` are the rows saved, and of these the ones since the signal."""
    saved, late = counts
    was = "was" if late == 1 else "were"
    return [
        f"Stopped sending new rows; {number(late)} in flight {was} saved.",
        goes_on(saved, folder, command),
    ]


def goes_on(saved: int, folder: str, command: str) -> str:
    """`8 428 rows are in .batchyard/run_7Q2K. Continue with:   batchyard resume`."""
    return f"{rows(saved)} {'is' if saved == 1 else 'are'} in {folder}. Continue with:   {command}"


def keeps_running(batches: Sequence[str]) -> str:
    """What a server does with the batches that it has."""
    first, more = batches[0], len(batches) - 1
    what = "The batch keeps" if not more else f"{number(len(batches))} batches keep"
    return (
        f"{what} running on the server. Attach with `batchyard watch {first}`, stop "
        f"{'it' if not more else 'one'} with `batchyard cancel {first}`."
    )


def resumed(run: str, standing: tuple[int, int, int], marks: talk.Marks, *, changed: bool) -> str:
    """`run_7Q2K  8 428 done, 6 failed, 11 566 left. Prompt, model and schema unchanged ✓`."""
    done, failed, left = map(number, standing)
    same = "The rows left are asked otherwise" if changed else _UNCHANGED.format(marks.good)
    return f"{run}  {done} done, {failed} failed, {left} left. {same}"


_UNCHANGED = "Prompt, model and schema unchanged {}"


def wrote(path: str, many: int, added: Sequence[str], width: int) -> list[str]:
    """`wrote  labelled.parquet   20 000 rows (input order) + sentiment, reason, _status, …`."""
    line, names = f"wrote  {path}   {rows(many)} (input order)", f"+ {', '.join(added)}"
    if not added:
        return [line]
    if len(line) + 1 + len(names) <= width:
        return [f"{line} {names}"]
    return [line, f"       {names}"]


@dataclass(frozen=True, slots=True)
class Group:
    """Failed rows of one kind: how many, what is said of one of them, how often it was tried."""

    kind: str
    many: int
    error: str
    attempts: int


def failed(groups: Sequence[Group], *, run: str, max_tokens: int, width: int) -> list[str]:
    """`12 rows failed:` and a line for each kind, with the command that asks them again.

    `run` is what names the run on a command line, "" for the newest.
    """
    if not groups:
        return []
    total = sum(group.many for group in groups)
    digits = max(4, *(len(number(group.many)) + 2 for group in groups))
    listed = [(_reason(group, max_tokens), again(group.kind, run, max_tokens)) for group in groups]
    longest = max(len(reason) for reason, _ in listed)
    lines = [f"{rows(total)} failed:"]
    for group, (reason, command) in zip(groups, listed, strict=True):
        line = f"{number(group.many):>{digits}}  {reason}"
        if digits + 2 + longest + 6 + max(len(one) for _, one in listed) <= width:
            lines.append(f"{line:<{digits + 2 + longest}}      {command}")
        else:
            lines += [_fold(line, width), f"{'':>{digits}}  {command}"]
    return lines


def again(kind: str, run: str, max_tokens: int) -> str:
    """The command that asks the rows of one kind again."""
    words = ["batchyard", "retry", *([run] if run else []), "--only", kind]
    if kind == "schema_truncated":
        words += ["--max-tokens", str(2 * max_tokens)]
    return shlex.join(words)


def _reason(group: Group, max_tokens: int) -> str:
    """What is said of a kind. Errors of strangers are quoted, their first line alone."""
    tries = f"after {group.attempts} {'try' if group.attempts == 1 else 'tries'}"
    known = {
        "schema": f"output did not match the schema {tries}",
        "schema_truncated": f"answer stopped at max_tokens ({number(max_tokens)}) before the JSON "
        "closed",
        "expired": "not asked before the batch expired",
        "canceled": "canceled before it was asked",
    }
    quoted = group.error.strip().split("\n")[0]
    return known.get(group.kind) or f"{group.kind}: {quoted or 'no reason given'}"


def _fold(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(1, width - 3)].rstrip() + "..."


def _cell(value: object) -> str:
    """A value on one line; text in quotes where it is more than a word."""
    if value is None:
        return ""
    text = " ".join(str(value).split())
    return f'"{text}"' if isinstance(value, str) and " " in text else text


def _line(cells: Sequence[str], room: Sequence[int], marks: talk.Marks) -> str:
    fitted = [_cut(cell, size, marks) for cell, size in zip(cells, room, strict=True)]
    padded = [cell + " " * (size - columns(cell)) for cell, size in zip(fitted, room, strict=True)]
    return "  ".join(padded).rstrip()


def _cut(cell: str, size: int, marks: talk.Marks) -> str:
    """The beginning of a cell, its closing quote kept."""
    if columns(cell) <= size:
        return cell
    end = "..." if marks.range == "-" else "…"
    end += '"' if cell.startswith('"') else ""
    text = Text(cell)
    text.truncate(size - len(end), overflow="crop")
    return text.plain.rstrip() + end


def _shares(wanted: Sequence[int], width: int) -> list[int]:
    """Room for each column: narrow ones get what they want, wide ones share what is left."""
    room = [min(size, CELL_MAX) for size in wanted]
    free = width - 2 * (len(room) - 1)
    while sum(room) > free and max(room) > CELL_MIN:
        widest = room.index(max(room))
        room[widest] -= 1
    return room


def ruled(text: str, width: int) -> str:
    """A line across the terminal that says what follows."""
    return f"-- {text} ".ljust(min(width, 80), "-")
