"""Everything a user of the Python SDK does with batches, once per namespace and colour of function.

Runs under any generation of the SDK (see `installed.py`) and prints one JSON object of facts; the
tests judge them. `driver.py URL MODEL` runs the tour, `driver.py URL MODEL large N` a large batch.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time

import anthropic

KEY = "sk-driver"


async def settle(value):
    return await value if inspect.isawaitable(value) else value


async def collect(pages, most=10_000):
    found = []
    if hasattr(pages, "__aiter__"):
        async for item in pages:
            found.append(item)
            if len(found) >= most:
                break
    else:
        for item in pages:
            found.append(item)
            if len(found) >= most:
                break
    return found


def client_of(url, colour, **options):
    kind = anthropic.AsyncAnthropic if colour == "async" else anthropic.Anthropic
    options = {"api_key": KEY, "max_retries": 0, **options}
    return kind(base_url=url, _strict_response_validation=True, **options)


def entry(custom_id, model, text, **params):
    messages = [{"role": "user", "content": text}]
    return {
        "custom_id": custom_id,
        "params": {"model": model, "max_tokens": 32, "messages": messages, **params},
    }


async def refusal(call):
    """The exception of an awaited call, as facts."""
    try:
        await settle(call())
    except anthropic.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        return {
            "class": type(error).__name__,
            "classes": [kind.__name__ for kind in type(error).__mro__],
            "status": error.status_code,
            "type": body.get("error", {}).get("type"),
            "body_request_id": body.get("request_id"),
            "request_id": error.request_id,
            "message": body.get("error", {}).get("message"),
        }
    except anthropic.AnthropicError as error:
        return {"class": type(error).__name__, "status": None, "message": str(error)}
    return {"class": None}


async def until_ended(batches, batch_id, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        batch = await settle(batches.retrieve(batch_id))
        if batch.processing_status == "ended":
            return batch
        if time.monotonic() > deadline:
            raise SystemExit(f"{batch_id} did not end: {batch}")
        await asyncio.sleep(0.05)


async def tour(url, model, colour, space):
    client = client_of(url, colour)
    root = client.beta.messages if space == "beta" else client.messages
    batches = root.batches
    facts = {}

    entries = [entry(f"ok-{n}", model, f"Answer {n} für mich ✓") for n in range(5)]
    entries += [
        {"custom_id": "no-messages", "params": {"model": model, "max_tokens": 3}},
        entry("streams", model, "hi", stream=True),
        entry("zero", model, "hi", max_tokens=0),
        entry("unknown-model", "no-such-model", "hi"),
    ]
    options = {"betas": ["output-300k-2026-03-24"]} if space == "beta" else {}
    created = await settle(batches.create(requests=entries, **options))
    facts["created"] = created.model_dump(mode="json")
    facts["created_request_id"] = created._request_id
    facts["retrieved_id"] = (await settle(batches.retrieve(created.id))).id

    ended = await until_ended(batches, created.id)
    facts["ended"] = ended.model_dump(mode="json")
    lines = await collect(await settle(batches.results(created.id)))
    facts["results"] = {line.custom_id: line.model_dump(mode="json")["result"] for line in lines}
    facts["result_count"] = len(lines)

    facts["paging"] = await paging(batches, model)
    facts["waiting"] = await unfinished(batches, model)
    facts["deleted"] = (await settle(batches.delete(created.id))).model_dump(mode="json")
    facts["after_delete"] = {
        "retrieve": await refusal(lambda: batches.retrieve(created.id)),
        "delete": await refusal(lambda: batches.delete(created.id)),
        "cancel": await refusal(lambda: batches.cancel(created.id)),
        "results": await refusal(lambda: batches.results(created.id)),
    }
    facts["bad_create"] = await refusal(lambda: batches.create(requests=[]))
    facts["raw"] = await raw(batches, facts["waiting"]["id"])
    facts["siblings"] = await siblings(client, root, model)
    await settle(client.close())
    return facts


async def paging(batches, model):
    """Five batches, walked forwards and backwards two at a time by the SDK's own paginator."""
    entries = [entry("one", model, str(number)) for number in range(5)]
    made = [(await settle(batches.create(requests=[one]))).id for one in entries]
    forwards = [b.id for b in await collect(batches.list(limit=2), most=5)]
    backwards = [b.id for b in await collect(batches.list(limit=2, before_id=made[0]), most=4)]
    after = [b.id for b in await collect(batches.list(limit=2, after_id=made[4]), most=4)]
    first = await settle(batches.list(limit=2))
    for batch_id in made:
        await until_ended(batches, batch_id)
    return {
        "made": made,
        "forwards": forwards,
        "backwards": backwards,
        "after": after,
        "first_page": [first.has_more, first.first_id, first.last_id, len(first.data)],
        "too_many": await refusal(lambda: batches.list(limit=1001)),
        "both": await refusal(lambda: batches.list(before_id=made[0], after_id=made[1])),
    }


async def unfinished(batches, model):
    """What is refused before the end, then a cancel; the model `slow` takes its time."""
    entries = [entry(f"s-{n}", "slow", f"slow {n}") for n in range(40)]
    batch = await settle(batches.create(requests=entries))
    facts = {
        "id": batch.id,
        "results": await refusal(lambda: batches.results(batch.id)),
        "delete": await refusal(lambda: batches.delete(batch.id)),
        "canceled": (await settle(batches.cancel(batch.id))).model_dump(mode="json"),
        "canceled_again": (await settle(batches.cancel(batch.id))).model_dump(mode="json"),
    }
    facts["ended"] = (await until_ended(batches, batch.id)).model_dump(mode="json")
    facts["canceled_late"] = (await settle(batches.cancel(batch.id))).model_dump(mode="json")
    lines = await collect(await settle(batches.results(batch.id)))
    facts["lines"] = sorted((line.custom_id, line.result.type) for line in lines)
    return facts


async def raw(batches, batch_id):
    response = await settle(batches.with_raw_response.retrieve(batch_id))
    parsed = await settle(response.parse())
    return {"request_id": response.headers.get("request-id"), "id": parsed.id}


async def siblings(client, root, model):
    """The calls beside batches: live messages, streaming, token counts, models."""
    ask = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Say hi."}]}
    message = await settle(root.create(**ask))
    events = [event.type for event in await collect(await settle(root.create(**ask, stream=True)))]
    manager = client.messages.stream(**ask)
    if hasattr(manager, "__aenter__"):
        async with manager as stream:
            streamed = await stream.get_final_message()
    else:
        with manager as stream:
            streamed = stream.get_final_message()
    count_ask = {"model": model, "messages": ask["messages"]}
    counted = await settle(root.count_tokens(**count_ask))
    models = await collect((client.beta if root is not client.messages else client).models.list())
    one = await settle(client.models.retrieve(models[0].id))
    return {
        "message": message.model_dump(mode="json"),
        "events": events,
        "streamed": streamed.model_dump(mode="json"),
        "input_tokens": counted.input_tokens,
        "models": [m.id for m in models],
        "one": one.model_dump(mode="json"),
        "unknown_model": await refusal(lambda: client.models.retrieve("no-such-model")),
        "unknown_live": await refusal(lambda: root.create(**{**ask, "model": "no-such-model"})),
    }


async def large(url, model, count):
    """A batch at the limit: created, polled, cancelled if unfinished, read to the last line."""
    client = anthropic.Anthropic(api_key=KEY, max_retries=0, base_url=url)
    entries = [entry(f"big-{n}", model, f"Label {n}") for n in range(count)]
    started = time.monotonic()
    batch = client.messages.batches.create(requests=entries)
    seconds = time.monotonic() - started
    client.messages.batches.cancel(batch.id)
    ended = await until_ended(client.messages.batches, batch.id, 120)
    ids = [line.custom_id for line in client.messages.batches.results(batch.id)]
    return {
        "created": batch.model_dump(mode="json"),
        "create_seconds": seconds,
        "ended": ended.model_dump(mode="json"),
        "lines": len(ids),
        "different": len(set(ids)),
    }


async def too_many(url, model, count):
    """One request more than a batch may have."""
    client = anthropic.Anthropic(api_key=KEY, max_retries=0, base_url=url)
    entries = [entry(f"big-{n}", model, f"Label {n}") for n in range(count + 1)]
    return {"over": await refusal(lambda: client.messages.batches.create(requests=entries))}


async def statuses(url, models):
    """The error class each status of a live call is raised as."""
    client = client_of(url, "sync")
    ask = {"max_tokens": 16, "messages": [{"role": "user", "content": "Say hi."}]}
    return {
        model: await refusal(lambda model=model: client.messages.create(model=model, **ask))
        for model in models
    }


async def credentials(url):
    """The answer to a wrong and a right key under each way the SDK can send it."""
    wrong, key = "sk-wrong", sys.argv[4]
    ways = {
        "wrong_key": {"api_key": wrong},
        "wrong_token": {"api_key": None, "auth_token": wrong},
        "right_key": {"api_key": key},
        "right_token": {"api_key": None, "auth_token": key},
    }
    return {
        name: await refusal(
            lambda options=options: client_of(url, "sync", **options).messages.batches.list(limit=1)
        )
        for name, options in ways.items()
    }


async def main():
    url, model, what = sys.argv[1], sys.argv[2], sys.argv[3]
    facts = {"version": anthropic.__version__}
    if what == "large":
        facts.update(await large(url, model, int(sys.argv[4])))
    elif what == "too_many":
        facts.update(await too_many(url, model, int(sys.argv[4])))
    elif what == "statuses":
        facts.update(await statuses(url, sys.argv[4:]))
    elif what == "credentials":
        facts.update(await credentials(url))
    else:
        for colour in ("sync", "async"):
            for space in ("ga", "beta"):
                facts[f"{colour}-{space}"] = await tour(url, model, colour, space)
    print(json.dumps(facts))


if __name__ == "__main__":
    asyncio.run(main())
