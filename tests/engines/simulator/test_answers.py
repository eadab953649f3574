"""What a simulator says: the same to the same question, in the question's own words."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from batchyard.engine import Ask
from batchyard.errors import Rejected
from tests.engines.simulator.asks import ask, message, simulator, text


async def test_equal_params_get_equal_answers_in_any_order_and_at_any_load() -> None:
    asks = [ask(f"What is known about island {number}?") for number in range(50)]
    calm, busy = simulator(seed="7"), simulator(seed="7", slots="3", latency="1ms", jitter="1ms")
    one_by_one = [await message(calm, one) for one in asks]
    shuffled = random.Random(1).sample(range(50), 50)
    at_once = await asyncio.gather(*(message(busy, asks[number]) for number in shuffled))
    for number, answer in zip(shuffled, at_once, strict=True):
        assert answer["content"] == one_by_one[number]["content"]
        assert answer["id"] == one_by_one[number]["id"]


async def test_how_the_json_is_written_makes_no_difference() -> None:
    one = b'{"model":"simulator-1","max_tokens":64,"messages":[{"role":"user","content":"Hi you"}]}'
    two = (
        b'{ "messages" : [{"content":"Hi \\u0079ou","role":"user"}],'
        b'"max_tokens":64,"model":"simulator-1" }'
    )
    answers = [await message(simulator(), Ask(params, "simulator-1")) for params in (one, two)]
    assert answers[0] == answers[1]


async def test_streaming_and_tags_make_no_difference_to_the_answer() -> None:
    plain = await message(simulator(), ask())
    tagged = await message(simulator(), ask(metadata={"user_id": "u"}, service_tier="auto"))
    assert plain["content"] == tagged["content"]


async def test_another_seed_and_another_question_get_other_answers() -> None:
    answers = {
        (await message(simulator(seed=str(seed)), ask(f"Island {number}?")))["id"]
        for seed in range(5)
        for number in range(20)
    }
    assert len(answers) == 100


async def test_an_answer_quotes_the_words_of_the_question() -> None:
    answer = await text(simulator(), ask("Explain photosynthesis in chlorophyll."))
    assert "photosynthesis" in answer
    assert "chlorophyll" in answer


@pytest.mark.parametrize(
    ("review", "openings"),
    [
        ("I love this lamp, it works perfectly.", ("pleased", "favourable", "approves")),
        ("Broke after a day. Terrible support.", ("displeased", "critical", "complains")),
    ],
)
async def test_praise_and_complaint_are_told_apart(review: str, openings: tuple[str, ...]) -> None:
    answer = await text(simulator(), ask(f"Summarize.\n\n{review}"))
    assert any(f" {opening} about " in answer for opening in openings)


async def test_answers_satisfy_the_official_types() -> None:
    for asked in (ask(), ask(tools=[TOOL], tool_choice={"type": "any"}), ask(max_tokens=0)):
        reply = await simulator().create_message(asked)
        Message.model_validate_json(reply.message, strict=True)


@given(st.text(max_size=60))
def test_any_text_gets_one_line_of_valid_utf8(question: str) -> None:
    reply = asyncio.run(simulator().create_message(_raw(question)))
    assert b"\n" not in reply.message
    assert json.loads(reply.message)["content"]


def _raw(question: str) -> Ask:
    encoded = json.dumps(question)
    turn = '{"role":"user","content":%s}' % encoded  # noqa: UP031 (a surrogate must stay escaped)
    return Ask(f'{{"max_tokens":64,"messages":[{turn}]}}'.encode(), "simulator-1")


async def test_content_without_text_is_answered_too() -> None:
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
    }
    first = await text(simulator(), ask(messages=[{"role": "user", "content": [image]}]))
    assert "image" in first


# -- where an answer ends -------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 2, 5, 40])
async def test_max_tokens_is_honoured(room: int) -> None:
    answer = await message(simulator(length="300"), ask(max_tokens=room))
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == room
    assert len(answer["content"][0]["text"].encode()) <= 4 * room


async def test_room_enough_ends_the_turn() -> None:
    answer = await message(simulator(), ask(max_tokens=4096))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    size = len(answer["content"][0]["text"].encode())
    assert answer["usage"]["output_tokens"] == -(-size // 4)


@pytest.mark.parametrize(
    ("room", "fault"),
    [
        (None, "Field required"),
        (-1, "must be greater than or equal to 0"),
        (0.5, "Input should be a valid integer"),
        ("7", "Input should be a valid integer"),
        (True, "Input should be a valid integer"),
    ],
)
async def test_what_is_no_room_is_refused_as_by_a_real_engine(room: object, fault: str) -> None:
    with pytest.raises(Rejected, match=f"max_tokens: {fault}"):
        await message(simulator(), ask(max_tokens=room))


async def test_no_room_at_all_gives_nothing() -> None:
    answer = await message(simulator(), ask(max_tokens=0))
    assert (answer["content"], answer["stop_reason"]) == ([], "max_tokens")


async def test_the_first_stop_sequence_ends_the_text_before_itself() -> None:
    whole = await text(simulator(), ask())
    later, sooner = whole[12:16], whole[5:8]
    answer = await message(simulator(), ask(stop_sequences=["nowhere", later, sooner]))
    cut = await text(simulator(), ask(stop_sequences=["nowhere", later, sooner]))
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", sooner)
    assert sooner not in cut


async def test_the_mean_length_is_as_asked() -> None:
    engine = simulator(length="100")
    lengths = [
        (await message(engine, ask(f"Island {n}?")))["usage"]["output_tokens"] for n in range(200)
    ]
    assert 90 < sum(lengths) / 200 < 115
    assert max(lengths) > 130
    assert min(lengths) < 70


# -- tools and schemas ----------------------------------------------------------------------------

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "negative", "neutral"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["sentiment", "stars"],
    "additionalProperties": False,
}
TOOL = {"name": "record", "description": "Record it", "input_schema": SCHEMA}


@pytest.mark.parametrize("form", ["output_config", "output_format"])
async def test_a_schema_is_followed(form: str) -> None:
    wanted = {"type": "json_schema", "schema": SCHEMA}
    fields = {form: {"format": wanted} if form == "output_config" else wanted}
    answer = await text(simulator(), ask("Great kettle, love it!", **fields))
    assert json.loads(answer) == {"sentiment": "positive", "stars": 5}


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "record"}])
async def test_a_forced_tool_is_used_with_a_fitting_input(choice: dict[str, str]) -> None:
    answer = await message(
        simulator(), ask("It broke at once, awful.", tools=[TOOL], tool_choice=choice)
    )
    (block,) = answer["content"]
    assert answer["stop_reason"] == "tool_use"
    assert (block["type"], block["name"]) == ("tool_use", "record")
    assert block["id"].startswith("toolu_01")
    assert block["input"]["sentiment"] == "negative"
    assert block["input"]["stars"] in (1, 2)


@pytest.mark.parametrize("choice", [None, {"type": "auto"}, {"type": "none"}])
async def test_tools_that_need_not_be_used_are_not(choice: dict[str, str] | None) -> None:
    answer = await message(simulator(), ask(tools=[TOOL], tool_choice=choice))
    assert answer["content"][0]["type"] == "text"


async def test_a_forced_tool_that_is_not_there_is_refused() -> None:
    forced = {"type": "tool", "name": "erase"}
    with pytest.raises(Rejected, match="Tool 'erase' not found in provided tools"):
        await simulator().create_message(ask(tools=[TOOL], tool_choice=forced))


async def test_a_tool_input_that_does_not_fit_is_cut_as_max_tokens() -> None:
    asked = ask(tools=[TOOL], tool_choice={"type": "any"}, max_tokens=3)
    answer = await message(simulator(), asked)
    assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("max_tokens", 3)
