"""All that can be found out before a server is asked: the rows, the question, the output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchyard.cli.runs.options.asked import Asked, Input, Question, Target
from batchyard.cli.runs.output import derived, refuse_existing, refuse_input
from batchyard.errors import BadInput, BadOutput, BadPrompt

if TYPE_CHECKING:
    from batchyard.pipeline.labelled import Labelling
    from batchyard.pipeline.prompt import ReadyMade, Task
    from batchyard.pipeline.source import Source

DRY_ROWS = 3
MAX_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that could begin."""

    source: Source
    rows: int
    task: Task | ReadyMade
    labelling: Labelling
    output: str


def prepared(asked: Asked, keep_in: Path | None) -> Prepared:
    """Read, compile and check everything; what flows past only once is kept in `keep_in`,
    for as long as this lives where that is None.

    Raises `BadInput`, `BadPrompt`, `BadOutput`: nothing was sent.
    """
    from batchyard.pipeline.labelled import Labelling
    from batchyard.pipeline.source import open_source

    given = asked.input
    if asked.target.output is not None:
        # Told before a large input is read.
        refuse_existing(asked.target.output, force=asked.target.force)
    source = open_source(given.file, format=given.format, keep_in=keep_in, encoding=given.encoding)
    task = task_of(asked.question, source, given)
    columns = source.columns or ("custom_id",)
    labelling = Labelling(columns, task.answer_columns, asked.target.meta_prefix)
    output = checked_output(asked.target, given, source, labelling)
    return Prepared(source, counted(source, given.id), task, labelling, output)


def task_of(question: Question, source: Source, given: Input) -> Task | ReadyMade:
    """The compiled question, its columns found in the source; raises `BadPrompt`."""
    from batchyard.pipeline.prompt import READY_MADE, ReadyMade, Task

    if source.format in READY_MADE:
        refuse_question(question, source)
        return ReadyMade()
    prompt = question.prompt
    if question.prompt_file is not None:
        prompt = read_prompt(question.prompt_file)
    said: dict[str, Any] = {
        "prompt": prompt,
        "model": question.model,
        "system": question.system,
        "turns": question.turn,
        "schema": question.schema,
        "as_tool": question.as_tool,
        "params": dict(question.param),
        "images": question.image,
        "documents": question.document,
        "tools": question.tools,
        "cache_prefix": question.cache_prefix,
        "max_tokens": question.max_tokens or MAX_TOKENS,
        "folder": Path(given.file).parent if given.file != "-" else Path(),
    }
    task = Task.make(**said)
    task.check(source.columns, source=source.name)
    return task


def refuse_question(question: Question, source: Source) -> None:
    """Ready-made requests say all by themselves; raises `BadPrompt` for what would be ignored."""
    said = [
        f"--{name.replace('_', '-')}"
        for name in Question.__dataclass_fields__
        if getattr(question, name)
    ]
    if said:
        raise BadPrompt(
            f"{source.name} holds ready-made requests, which say what is asked: {', '.join(said)} "
            "would change nothing; nothing was sent",
            fix="leave it out\nor: --format jsonl if these lines are rows",
        )


def read_prompt(path: Path) -> str:
    """The prompt from its file; raises `BadPrompt`."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\n")
    except OSError as error:
        raise BadPrompt(f"{path} cannot be read: {error.strerror}; nothing was sent") from error
    except UnicodeDecodeError as error:
        raise BadPrompt(
            f"{path} is not UTF-8 text (byte {error.start}); nothing was sent"
        ) from error


def checked_output(target: Target, given: Input, source: Source, labelling: Labelling) -> str:
    """The path of the output, proved to be writable; raises `BadOutput`."""
    from batchyard.pipeline.sink import open_sink

    output = target.output or derived(given.file, source.format)
    refuse_input(output, given.file)
    refuse_existing(output, force=target.force)
    try:
        # Left without a commit, a sink leaves nothing behind.
        with open_sink(output, columns=labelling.columns, raw=target.raw, like=source.schema):
            return output
    except BadOutput as error:
        error.message = error.message.split("\n")[0] + "; nothing was sent"
        raise


def counted(source: Source, id_column: str | None) -> int:
    """How many rows there are, every one of them read once; raises `BadInput`."""
    if id_column is None:
        return sum(1 for _ in source.rows())
    if id_column not in source.columns:
        raise BadInput(
            f"--id {id_column}: {source.name} has no such column; nothing was sent",
            fix=f"one of {', '.join(source.columns)}",
        )
    seen: dict[bytes, int] = {}
    for number, row in enumerate(source.rows(), 1):
        # Eight bytes a row, so that a million ids take no more room than a page of a browser.
        digest = blake2b(str(row[id_column]).encode(), digest_size=8).digest()
        first = seen.setdefault(digest, number)
        if first != number:
            raise BadInput(
                f"{source.name}: row {number} has the same {id_column} as row {first}; "
                "nothing was sent",
                fix="make it unique, or leave --id out: rows are told apart by their position",
            )
    return len(seen)


def rendered(prepared: Prepared) -> Iterator[tuple[int, str]]:
    """The first rows as they would be sent, with their positions."""
    for position, row in enumerate(islice(prepared.source.rows(), DRY_ROWS)):
        yield position, prepared.task.rendered(row, position=position)
