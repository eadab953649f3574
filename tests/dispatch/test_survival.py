"""What must not end the process, nor keep others waiting: odd requests, odd engines, damage."""

from __future__ import annotations

import json

from tests.dispatch.harness import House, all_echoed, ask_for, asks


async def test_a_model_that_is_no_name_costs_its_own_request_and_nothing_else(
    house: House,
) -> None:
    requests = {"odd": ask_for("odd", model="ODD"), "good": ask_for("good")}
    entries = [{"custom_id": name, "params": params} for name, params in requests.items()]
    body = json.dumps({"requests": entries}).replace('"ODD"', "1e400").encode()
    batch, other = await house.create_of(body, 2), await house.create(asks(5))
    await house.ended(batch)
    lines = await house.lines(batch)
    assert lines["odd"]["error"]["error"]["type"] == "invalid_request_error"
    assert lines["good"]["type"] == "succeeded"
    await house.ended(other)
    assert all_echoed(await house.lines(other), asks(5))
