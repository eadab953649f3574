"""The result lines as an answer: all of them or a part, with their exact length."""

from __future__ import annotations

from starlette.responses import Response

from batchyard.api import render
from batchyard.api.call import Call
from batchyard.api.failures import RangeNotSatisfiable
from batchyard.api.results import wanted
from batchyard.store.store import Results

MEDIA_TYPE = "application/x-jsonl"


def answer(call: Call, batch_id: str, results: Results) -> Response:
    """What the call asks for, whatever its `Accept` says.

    Results never change once a batch has ended, so its id is their tag. When something fails on the
    way the connection is cut, never ended cleanly. Raises `RangeNotSatisfiable`.
    """
    size, tag = results.size, f'"{batch_id}"'
    headers = {"etag": tag, "accept-ranges": "bytes"}
    if wanted.is_known(call.headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    if call.method == "HEAD":  # of which no range is taken
        return Response(headers={**headers, "content-length": str(size)}, media_type=MEDIA_TYPE)
    part = wanted.part(call.headers.getlist("range"), call.headers.get("if-range"), size, tag)
    if part is None:
        return _stream(results, wanted.Part(0, size), 200, headers)
    if part.empty:
        raise RangeNotSatisfiable(size)
    headers["content-range"] = f"bytes {part.first}-{part.end - 1}/{size}"
    return _stream(results, part, 206, headers)


def _stream(
    results: Results, part: wanted.Part, status: int, headers: dict[str, str]
) -> render.Stream:
    length = part.end - part.first
    return render.Stream(
        render.whole(results.chunks(part.first, part.end), length),
        status=status,
        media_type=MEDIA_TYPE,
        headers={**headers, "content-length": str(length)},
    )
