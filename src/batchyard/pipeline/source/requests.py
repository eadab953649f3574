"""Batches that were made ready elsewhere: Message Batches lines, and OpenAI's, translated."""

from __future__ import annotations

from collections.abc import Iterator

from batchyard.pipeline.source.chat import Untranslatable, messages_params
from batchyard.pipeline.source.file import InputFile
from batchyard.pipeline.source.objects import objects_of_lines

_REQUESTS = '{"custom_id": "row-1", "params": {"model": …, "messages": …}}'
_OPENAI = '{"custom_id": "row-1", "method": "POST", "url": "/v1/chat/completions", "body": {…}}'


class RequestsSource:
    """Rows of `custom_id` and Messages `params`. Every line is checked when it is opened."""

    columns: tuple[str, ...] = ()
    schema = None

    def __init__(self, file: InputFile, format: str) -> None:
        """Raises `BadInput` for the first line that is no such request, and for a doubled id."""
        self._file, self.name, self.path, self.format = file, file.name, file.path, format
        seen: set[int] = set()
        for line, row in self._requests(0):
            name = row["custom_id"]
            # A million texts would fill the memory; their hashes do not.
            if hash(name) in seen:
                self._refuse_twice(str(name), line)
            seen.add(hash(name))

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        """See `Source.rows`."""
        return (row for _, row in self._requests(first))

    def fingerprint(self) -> str:
        return self._file.fingerprint()

    def _requests(self, first: int) -> Iterator[tuple[int, dict[str, object]]]:
        read = self._translated if self.format == "openai" else self._ready
        for line, fields in objects_of_lines(self._file, first):
            name = fields.get("custom_id")
            if not isinstance(name, str) or not name:
                what = "is not a text" if "custom_id" in fields else "is missing"
                raise self._fault(f"custom_id {what}", line)
            yield line, {"custom_id": name, "params": read(fields, line)}

    def _ready(self, fields: dict[str, object], line: int) -> dict[str, object]:
        unknown = sorted(fields.keys() - {"custom_id", "params"})
        params = fields.get("params")
        if not isinstance(params, dict):
            what = "is not an object" if "params" in fields else "is missing"
            raise self._fault(f"params {what}", line)
        if unknown:
            raise self._fault(f'unknown field "{unknown[0]}" beside custom_id and params', line)
        return params

    def _translated(self, fields: dict[str, object], line: int) -> dict[str, object]:
        try:
            return messages_params(fields)
        except Untranslatable as error:
            raise self._fault(str(error), line) from None

    def _fault(self, what: str, line: int) -> Exception:
        fix = _OPENAI if self.format == "openai" else _REQUESTS
        return self._file.fault(what, line=line, fix=fix)

    def _refuse_twice(self, name: str, line: int) -> None:
        """Refuse unless two names merely share a hash."""
        for earlier, row in self._requests(0):
            if earlier >= line:
                return
            if row["custom_id"] == name:
                raise self._file.fault(
                    f'custom_id "{name[:80]}" was used in line {earlier} already; '
                    "answers could not be told apart",
                    line=line,
                    fix="give each request an id of its own",
                )
