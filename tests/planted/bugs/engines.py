"""Bugs on the way to engines and back: bytes changed, redirects obeyed, answers crossed."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tests.planted.bugs import caught_by, swap

ANTHROPIC = "tests/engines/test_anthropic.py"
HTTP = "tests/engines/test_http.py"
FAILURES = "tests/engines/test_failures.py"


@caught_by(f"{ANTHROPIC}::test_params_reach_the_engine_byte_for_byte")
def params_re_encoded() -> None:
    """Params are read and written again on their way to the engine."""
    from batchyard.engines.anthropic import MessagesEngine

    def create(sound: Any) -> Any:
        async def created(self: Any, ask: Any) -> Any:
            written = json.dumps(json.loads(ask.params)).encode()
            return await sound(self, msgspec.structs.replace(ask, params=written))

        return created

    swap(MessagesEngine, "create_message", create)


@caught_by(f"{ANTHROPIC}::test_the_message_comes_back_as_the_engine_wrote_it")
def message_re_encoded() -> None:
    """A message is read and written again on its way from the engine."""
    from batchyard import wire

    def checked(sound: Any) -> Any:
        def read(body: bytes) -> Any:
            message, numbers = sound(body)
            return json.dumps(json.loads(message)).encode(), numbers

        return read

    swap(wire, "checked_message", checked)


@caught_by(f"{HTTP}::test_redirects_are_answers_not_orders")
def redirect_followed() -> None:
    """A redirect is obeyed: params and keys go where a stranger says."""
    from batchyard.engines.http import HttpClient

    def post(sound: Any) -> Any:
        async def posted(self: Any, path: str, headers: Any, body: bytes, **more: Any) -> Any:
            answer = await sound(self, path, headers, body, **more)
            if answer.status // 100 == 3:
                return await sound(self, path, headers, body, **more)
            return answer

        return posted

    swap(HttpClient, "post", post)


@caught_by(f"{FAILURES}::test_a_redirect_is_never_followed_and_says_where_to")
def redirect_is_the_requests_fault() -> None:
    """An engine that has moved costs every request that is sent to it."""
    from batchyard.engines import failures
    from batchyard.errors import Rejected

    def redirected(status: int, headers: Any) -> Any:
        return Rejected("moved", type="api_error", status=status)

    swap(failures, "_redirected", lambda _: redirected)


@caught_by(f"{HTTP}::test_many_at_once_each_get_their_own_answer")
def answers_crossed() -> None:
    """Connections in use are handed out again: an answer meets another request."""
    from batchyard.engines.http import HttpClient

    last: dict[int, Any] = {}

    def whole(sound: Any) -> Any:
        async def asked(self: Any, *arguments: Any, **keywords: Any) -> Any:
            answer = await sound(self, *arguments, **keywords)
            before, last[0] = last.get(0, answer), answer
            return before

        return asked

    swap(HttpClient, "_whole", whole)


@caught_by(
    "tests/live/test_lost_engines.py::test_no_secret_is_in_the_page_or_the_log", in_servers=True
)
def key_told_with_the_error() -> None:
    """An engine that refuses our key is reported together with the key."""
    from batchyard.engines.anthropic import MessagesEngine
    from batchyard.errors import Misconfigured

    def models(sound: Any) -> Any:
        async def listed(self: Any) -> Any:
            try:
                return await sound(self)
            except Misconfigured as error:
                sent = self._headers.get("x-api-key")
                raise Misconfigured(f"{error.message} (sent {sent})", status=401) from error

        return listed

    swap(MessagesEngine, "models", models)


@caught_by(f"{HTTP}::test_an_answer_beyond_the_limit_is_given_up")
def answers_without_end() -> None:
    """An answer may be as large as the engine likes."""
    from batchyard.engines import http

    def receiver(sound: Any) -> Any:
        return lambda connection, limit: sound(connection, 1 << 40)

    swap(http, "Whole", receiver)


@caught_by(f"{HTTP}::test_no_whole_answer_may_have_been_computed_and_is_asked_once")
def cut_answer_taken_for_whole() -> None:
    """An answer whose connection breaks counts as far as it came."""
    from batchyard.engines import receive

    def broken(sound: Any) -> Any:
        return lambda self, error: self.done() if self._chunks else sound(self, error)

    swap(receive.Whole, "broken", broken)


@caught_by(
    "tests/api/test_traps_of_answers.py::test_18_any_text_stays_on_its_line",
    fails_with=("ValueError",),
)
def line_ends_pass() -> None:
    """Line ends inside a message go into its result line as they are."""
    from batchyard import wire

    def line(custom_id: str, message: bytes) -> bytes:
        text = message.replace(b"\\r\\n", b"\r\n")
        return b'{"custom_id":"%b","result":{"type":"succeeded","message":%b}}\n' % (
            custom_id.encode(),
            text,
        )

    swap(wire, "succeeded_line", lambda _: line)


@caught_by("tests/engines/translate/test_turns.py::test_images_by_url_go_as_they_are")
def images_fetched_by_the_server() -> None:
    """The server itself asks for the picture behind a URL, and sends what it got."""
    from batchyard.engines.translate import content
    from batchyard.engines.translate.params import UrlSource

    def image(sound: Any) -> Any:
        def part(block: Any, *rest: Any) -> Any:
            if isinstance(block.source, UrlSource):
                return {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
            return sound(block, *rest)

        return part

    swap(content, "_image", image)
