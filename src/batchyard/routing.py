"""Which engine answers for which model name: served names, aliases, `claude-*` on loopback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from batchyard.engine import Model


@dataclass(frozen=True, slots=True)
class Route:
    """A model name resolved: the name the engines know, and the engines that serve it."""

    model: Model
    engines: tuple[str, ...]


class Routing:
    """The table of models. `Route` for a name that is served, None for one that never will be.

    An engine that has not told its models yet makes every unknown name `pending`: waiting is right
    then, an error line would be wrong.
    """

    def __init__(
        self,
        engines: Iterable[str],
        *,
        aliases: Mapping[str, str] | None = None,
        auto_alias: bool = True,
    ) -> None:
        self._served: dict[str, tuple[Model, ...] | None] = dict.fromkeys(engines)
        self._aliases = dict(aliases or {})
        self._auto_alias = auto_alias
        self._stands: str | None = None  # what `claude-*` stood for once every engine had told

    def learn(self, engine: str, models: Iterable[Model]) -> None:
        """Replace what `engine` serves; an empty list means it takes any name."""
        self._served[engine] = tuple(models)
        served = [model.id for model in self.models()]
        if self._stands not in served:
            alone = len(served) == 1 and not self.pending()
            self._stands = served[0] if alone else None

    def pending(self) -> list[str]:
        """Engines that have not told their models yet."""
        return [name for name, models in self._served.items() if models is None]

    def models(self) -> list[Model]:
        """Every served model once, in the order the engines told them."""
        found: dict[str, Model] = {}
        for models in self._served.values():
            for model in models or ():
                if model.is_pattern:
                    continue
                found.setdefault(model.id, model)
        return list(found.values())

    def resolve(self, name: str) -> Route | None:
        """The route for `name`: served, aliased, or (one model only) `claude-*`.

        A second model that turns up later leaves `claude-*` with the first: half a batch must not
        end in errors because somebody started another engine.
        """
        target = self._aliases.get(name, name)
        if route := self._serving(target):
            return route
        served = self.models()
        only = served[0].id if len(served) == 1 else self._stands
        if self._auto_alias and target.startswith("claude-") and only is not None:
            return self._serving(only)
        return None

    def unknown_model_message(self, name: str) -> str:
        """What to tell the owner of a request whose model nobody serves."""
        served = [model.id for model in self.models()]
        near = difflib.get_close_matches(name, served, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        listed = ", ".join(served[:8]) or "none"
        return (
            f'model: "{name}" is not served here. Served: {listed}.{hint} '
            f'Use a served name or map it with [models.aliases] "{name}" = "<served name>". '
            "[unknown_model]"
        )

    def _serving(self, name: str) -> Route | None:
        engines, found = [], None
        for engine, models in self._served.items():
            if models is None:
                continue
            match = next((model for model in models if model.id == name), None)
            if match is not None or not models:
                engines.append(engine)
                found = found or match
        if not engines:  # an engine that lists the very name goes before one with a pattern for it
            engines = [
                engine
                for engine, models in self._served.items()
                if any(model.covers(name) for model in models or ())
            ]
        return Route(found or Model(name), tuple(engines)) if engines else None
