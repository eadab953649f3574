"""Which models there are: `/v1/models`, told from what the engines serve right now."""

from __future__ import annotations

from starlette.responses import Response

from batchyard import wire
from batchyard.api import render
from batchyard.api.batches import page_query
from batchyard.api.call import Call
from batchyard.api.context import ApiContext
from batchyard.clock import rfc3339
from batchyard.engine import Model
from batchyard.errors import InvalidRequest, NotFound

LIFECYCLES = ("active", "deprecated", "retired")


class Catalogue:
    """The handlers of `/v1/models`."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    async def page(self, call: Call) -> Response:
        """Served models, newest first, paged by id. All of them are active."""
        limit, after_id, before_id = page_query(call)
        models = await self._models() if "active" in _lifecycles(call) else []
        start, end = _window(models, limit, after_id, before_id)
        has_more = start > 0 if before_id else end < len(models)
        shown = [_info(model) for model in models[start:end]]
        return render.Json(render.page(shown, has_more=has_more))

    async def retrieve(self, call: Call) -> Response:
        """One model, under its own name also when asked for by an alias."""
        name: str = call.path_params["model_id"]
        route = await self._context.live.route(name, self._context.store, self._context.clock)
        if route is None:
            raise NotFound(f"model: {name[:100]}", should_retry=False)
        return render.Json(_info(route.model))

    async def _models(self) -> list[Model]:
        live = self._context.live
        await live.first_words(self._context.store, self._context.clock)
        models = live.routing.models()
        return sorted(models, key=lambda model: (-model.created_at, model.id))


def _lifecycles(call: Call) -> list[str]:
    """The stages asked for; SDKs write the list as `lifecycle[]=`."""
    query = call.query_params
    asked = query.getlist("lifecycle[]") + query.getlist("lifecycle")
    for stage in asked:
        if stage not in LIFECYCLES:
            raise InvalidRequest(f"lifecycle: Input should be one of {', '.join(LIFECYCLES)}")
    return asked or ["active", "deprecated"]


def _window(
    models: list[Model], limit: int, after_id: str | None, before_id: str | None
) -> tuple[int, int]:
    """The slice that a page shows. A model that has gone leaves no place to go on from."""
    cursor = after_id or before_id
    if cursor is None:
        return 0, min(limit, len(models))
    name = "after_id" if after_id else "before_id"
    index = next((i for i, model in enumerate(models) if model.id == cursor), None)
    if index is None:
        raise InvalidRequest(f'{name}: "{cursor[:100]}" is not a model served here.')
    if after_id:
        return index + 1, min(index + 1 + limit, len(models))
    return max(0, index - limit), index


def _info(model: Model) -> wire.ModelInfo:
    return wire.ModelInfo(
        id=model.id,
        display_name=model.id,
        created_at=rfc3339(model.created_at),
        max_input_tokens=model.max_input_tokens,
        max_tokens=model.max_tokens,
    )
