"""The user's own prices: the table `[prices]` of `batchyard.toml`, or the same as a mapping."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from batchyard.errors import ConfigurationError
from batchyard.pipeline.estimate.prices.price import Price, Rate, Rates

FILE_NAME = "batchyard.toml"

_KEYS = {
    "input_per_mtok", "output_per_mtok", "cache_read_per_mtok", "cache_write_per_mtok",
    "batch_discount", "gpu_hour", "gpus",
}  # fmt: skip

_EXAMPLE = (
    'write [prices."qwen3:8b"] with input_per_mtok and output_per_mtok in dollars per million '
    "tokens, or gpu_hour in dollars"
)


def read_prices(file: Path) -> dict[str, Price]:
    """The prices in a TOML file; none where there is no such file or no such table.

    Raises `ConfigurationError` for a file that is not TOML, and as `prices_of` does.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = tomllib.loads(text, parse_float=Decimal)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    return prices_of(found.get("prices", {}), source=str(file))


def prices_of(table: object, *, source: str = "your prices") -> dict[str, Price]:
    """The prices in a table of models, each a table of dollars.

    Raises `ConfigurationError` that names the key, the value and the rule; a key nobody knows
    comes with the nearest one.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"prices ({source}) is not a table of models", fix=_EXAMPLE)
    return {str(model): _Entry(str(model), entry, source).price() for model, entry in table.items()}


class _Entry:
    """The table of one model, read key by key."""

    def __init__(self, model: str, entry: object, source: str) -> None:
        self._model, self._source = model, source
        if isinstance(entry, Mapping) and _looks_nested(entry):
            whole = _dotted(model, entry)
            raise ConfigurationError(
                f"[prices.{whole}] ({source}) is read as a table inside a table",
                fix=f'put the name in quotes: [prices."{whole}"]',
            )
        if not isinstance(entry, Mapping):
            raise self._wrong("", entry, "must be a table of dollars")
        for key in entry:
            if key not in _KEYS:
                raise self._unknown(str(key))
        self._entry: Mapping[str, Any] = entry

    def price(self) -> Price:
        standard = self._rates()
        discount = self._number("batch_discount", most=1)
        gpu_hour, gpus = self._number("gpu_hour"), self._number("gpus")
        if standard is None and gpu_hour is None:
            raise ConfigurationError(
                f'prices."{self._model}" ({self._source}) has no price in it', fix=_EXAMPLE
            )
        if standard is None and discount is not None:
            raise self._lonely("batch_discount", "input_per_mtok")
        if gpu_hour is None and gpus is not None:
            raise self._lonely("gpus", "gpu_hour")
        if gpus is not None and (gpus != int(gpus) or gpus < 1):
            raise self._wrong(".gpus", self._entry["gpus"], "must be a whole number from 1 on")
        return Price(
            self._model,
            self._source,
            standard,
            standard and _scaled(standard, 1 - (discount or Decimal(0))),
            gpu_hour,
            int(gpus or 1),
        )

    def _rates(self) -> Rates | None:
        found = {
            kind: self._number(f"{kind}_per_mtok")
            for kind in ("input", "output", "cache_read", "cache_write")
        }
        given = {kind: Rate(dollars) for kind, dollars in found.items() if dollars is not None}
        if not given:
            return None
        for needed in ("input", "output"):
            if needed not in given:
                raise self._lonely(f"{next(iter(given))}_per_mtok", f"{needed}_per_mtok")
        return Rates(**given)

    def _number(self, key: str, most: int | None = None) -> Decimal | None:
        value = self._entry.get(key)
        if value is None:
            return None
        rule = "must be a number from 0 " + ("on" if most is None else f"to {most}")
        if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
            raise self._wrong(f".{key}", value, rule)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise self._wrong(f".{key}", value, rule) from None
        if not number.is_finite() or number < 0 or (most is not None and number > most):
            raise self._wrong(f".{key}", value, rule)
        return number

    def _wrong(self, key: str, value: object, rule: str) -> ConfigurationError:
        shown = str(value)[:40] if isinstance(value, Decimal) else repr(value)[:40]
        return ConfigurationError(
            f'prices."{self._model}"{key} = {shown} ({self._source}): {rule}', fix=_EXAMPLE
        )

    def _lonely(self, key: str, needs: str) -> ConfigurationError:
        return ConfigurationError(
            f'prices."{self._model}".{key} ({self._source}) says nothing without {needs}',
            fix=f"add {needs}",
        )

    def _unknown(self, key: str) -> ConfigurationError:
        near = difflib.get_close_matches(key, sorted(_KEYS), n=1)
        return ConfigurationError(
            f'unknown key prices."{self._model}".{key} ({self._source})',
            fix=f"did you mean {near[0]}?" if near else "known keys: " + ", ".join(sorted(_KEYS)),
        )


def _looks_nested(entry: Mapping[Any, Any]) -> bool:
    """A name with dots and no quotes, as in `[prices.qwen2.5]`, which TOML takes apart."""
    return len(entry) == 1 and isinstance(next(iter(entry.values())), Mapping)


def _dotted(model: str, entry: Mapping[Any, Any]) -> str:
    while _looks_nested(entry):
        part = next(iter(entry))
        model, entry = f"{model}.{part}", entry[part]
    return model


def _scaled(rates: Rates, factor: Decimal) -> Rates:
    def scaled(rate: Rate | None) -> Rate | None:
        return None if rate is None else Rate(rate.base * factor)

    return Rates(
        Rate(rates.input.base * factor),
        Rate(rates.output.base * factor),
        scaled(rates.cache_read),
        scaled(rates.cache_write),
    )
