"""What is asked of each row: a prompt, a model, a schema, and how to read what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import msgspec

from batchyard.pipeline.prompt import answer
from batchyard.pipeline.prompt.answer import Answers, Reading
from batchyard.pipeline.prompt.asked import Asked, Said, asked, asked_of
from batchyard.pipeline.row import Fields


class Task:
    """A compiled task; immutable. Make one with `make`, or from what a run remembers.

    `model` None leaves the model out of the params; `schema` is a JSON Schema or None.
    `answer_columns` are the schema's properties in order, or `output`; `columns_used` those that
    the templates and media name (with `whole_row` it does not matter which: all are used).
    """

    def __init__(self, said: Asked) -> None:
        # Jinja2 is loaded where a task is made, not where somebody may come to make one.
        from batchyard.pipeline.prompt import columns
        from batchyard.pipeline.prompt.body import Body
        from batchyard.pipeline.prompt.identity import Identity

        self._asked = said
        self._body = Body(said)
        columns.check_uses_a_column(said, self._body)
        self._answers = Answers(said)
        self._identity = Identity(said, self._body)
        self.model = said.model
        self.max_tokens = said.max_tokens
        self.schema = said.schema
        self.answer_columns = self._answers.columns
        self.columns_used = self._body.bound.columns | {one.name for one in self._body.media}
        self.whole_row = self._body.bound.whole_row

    @classmethod
    def make(cls, **said: Unpack[Said]) -> Task:
        """A task from what a person says (`Said` lists it); raises `BadPrompt`."""
        return cls(asked(said))

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Task:
        """The task that `as_manifest` wrote down: same keys, same params, byte for byte."""
        return cls(asked_of(manifest))

    def as_manifest(self) -> dict[str, Any]:
        """Plain JSON with every text, schema and tool by content; only media stay files."""
        return {**msgspec.to_builtins(self._asked)}

    def changed(self, *, model: str | None = None, max_tokens: int | None = None) -> Task:
        """The same task for another model, or with another length of answers."""
        manifest = self.as_manifest()
        manifest["model"] = self.model if model is None else model
        manifest["max_tokens"] = self.max_tokens if max_tokens is None else max_tokens
        return Task.from_manifest(manifest)

    def check(self, columns_there: Sequence[str], *, source: str) -> None:
        """Raise `BadPrompt` with every column the task uses and `source` (a name) lacks."""
        from batchyard.pipeline.prompt import columns

        columns.check(self._asked, self._body, columns_there, source)

    def params_of(self, fields: Fields, *, position: int) -> bytes:
        """The Messages params of a row as JSON; at most 32 MB.

        A column that the row lacks has no value, and no value is empty text. Raises `BadInput`,
        which names the row (counted from 1) and the column, for a row that cannot be asked about:
        text that is no Unicode, a turn without any text, an image that is missing or none. Raises
        `BadPrompt` where the template itself asks for what it cannot have.
        """
        return self._body.params_of(fields, position)

    def key(self, fields: Fields) -> bytes:
        """16 bytes, equal for rows that are asked the same; reads the files a row names."""
        return self._identity.key(fields)

    def read(self, message: bytes) -> Reading:
        """The answer in `message`, the JSON of a Message; raises `Misfit`."""
        return self._answers.read(message)

    def repaired(self, params: bytes, raw: str, why: str) -> bytes:
        """`params` that show the model its answer `raw` and ask again, because of `why`."""
        return answer.repaired(params, raw, why)

    def rendered(self, fields: Fields, *, position: int = 0) -> str:
        """A row as it would be sent, in plain text; raises as `params_of` does."""
        from batchyard.pipeline.prompt import shown

        return shown.row_text(self._asked, self._body, fields, position)

    def difference(self, other: Task) -> list[str]:
        """Lines of a diff (`-` this, `+` other) of what is asked; [] when all keys are equal."""
        if self._identity.task == other._identity.task:
            return []
        from batchyard.pipeline.prompt import shown

        return shown.difference(self._asked, other._asked)
