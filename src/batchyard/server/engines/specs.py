"""Engine specs as people write them: what follows `--engine`, taken apart and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from batchyard.errors import ConfigurationError

Kind = Literal["simulator", "llama", "anthropic", "messages", "chat", "detect"]

HOSTED_URL = "https://api.anthropic.com"

_DIALECTS: Mapping[str, Kind] = {"": "detect", "anthropic": "messages", "openai": "chat"}
_OPTIONS = ("name", "concurrency", "key_env", "key_file", "timeout")
_EXAMPLES = "simulator, http://localhost:8000, anthropic, llama:MODEL.gguf"
_SECRET_NAMES = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)
_INLINE_SECRET = re.compile(
    r"((?:key|token|secret|password|auth(?:orization)?)=)[^;&,]*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine as configured. `target` is the model file of `llama`, else empty.

    `options` belong to the engine itself (`latency=50ms`); `key` is never shown or logged.
    """

    kind: Kind
    name: str
    url: str = ""
    target: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    concurrency: int | None = None
    slots: int | None = None  # how many requests the engine runs at once, as far as it told
    timeout_seconds: float | None = None
    key: str | None = field(default=None, repr=False)

    @property
    def inside(self) -> bool:
        """Whether the engine lives in the dispatch process rather than behind a URL."""
        return self.kind in ("simulator", "llama")


def parse_specs(texts: Iterable[str], environment: Mapping[str, str]) -> list[EngineSpec]:
    """All specs, each under a name of its own. Raises `ConfigurationError`."""
    found: dict[str, EngineSpec] = {}
    for text in texts:
        spec, named = _parse(text.strip(), environment)
        if named and spec.name in found:
            raise ConfigurationError(f"two engines are called {spec.name}", fix="give each a name=")
        name, number = spec.name, 2
        while name in found:
            name, number = f"{spec.name}-{number}", number + 1
        found[name] = replace(spec, name=name)
    return list(found.values())


def _parse(text: str, environment: Mapping[str, str]) -> tuple[EngineSpec, bool]:
    """The spec, and whether its name was given rather than derived."""
    body, *extras = text.split(";")
    options = _pairs(extras, text)
    if any(_INLINE_SECRET.search(f"{key}=") for key in options):
        raise ConfigurationError(
            f"engine {_shown(text)}: a key has no place on a command line, in a process list",
            fix=f"{_shown(body)};key_env=NAME_OF_A_VARIABLE (or key_file=PATH)",
        )
    if unknown := [key for key in options if key not in _OPTIONS]:
        raise ConfigurationError(
            f"engine {_shown(text)}: unknown option {unknown[0]}; known: {', '.join(_OPTIONS)}"
        )
    spec = _body(body, text)
    key = _key(spec, options, environment)
    if spec.inside and key is not None:
        raise ConfigurationError(f"engine {_shown(text)}: a {spec.kind} takes no key")
    spec = replace(
        spec,
        name=options.get("name", spec.name),
        concurrency=_concurrency(options, text),
        timeout_seconds=_seconds(options, text),
        key=key,
    )
    return spec, "name" in options


def _body(body: str, text: str) -> EngineSpec:
    """What stands before the first semicolon: kind and place."""
    if "://" in body:
        return _remote(body)
    head, _, rest = body.partition(":")
    if head == "simulator":
        return EngineSpec(
            "simulator", "simulator", options=_pairs(filter(None, rest.split(",")), text)
        )
    if head == "llama":
        file, *options = rest.split(",")
        if not file:
            raise ConfigurationError("engine llama: which model?", fix="--engine llama:MODEL.gguf")
        path = Path(file).expanduser().absolute()
        if not path.is_file():
            raise ConfigurationError(f"engine llama: there is no file {path}")
        return EngineSpec("llama", path.stem, target=str(path), options=_pairs(options, text))
    if body == "anthropic":
        return EngineSpec("anthropic", "anthropic", url=HOSTED_URL)
    raise ConfigurationError(
        f"engine {_shown(text)}: neither a URL nor an engine we know", fix=f"one of {_EXAMPLES}"
    )


def _remote(body: str) -> EngineSpec:
    prefix, _, rest = body.rpartition("+")
    if prefix not in _DIALECTS:
        raise ConfigurationError(
            f"engine {_shown(body)}: unknown dialect {prefix}; known: anthropic+, openai+"
        )
    url = _checked_url(rest)
    name = url.netloc.lower() + url.path.rstrip("/")
    return EngineSpec(_DIALECTS[prefix], name, url=url.geturl().rstrip("/"))


def _checked_url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise ConfigurationError(f"engine URL {_shown(text)}: {error}") from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigurationError(
            f"engine URL {_shown(text)}: must be http:// or https:// with a host"
        )
    if url.username or url.password or _SECRET_NAMES.search(url.query):
        raise ConfigurationError(
            f"the engine URL for {url.hostname} carries a password or key; the command line and "
            "the process list are no place for one",
            fix=f"{url.scheme}://{_address(url)};key_env=NAME_OF_A_VARIABLE (or key_file=PATH)",
        )
    if url.query or url.fragment:
        raise ConfigurationError(
            f"engine URL {_shown(text)}: takes no query and no fragment",
            fix=f"{url.scheme}://{_address(url)}{url.path}",
        )
    return url


def _key(
    spec: EngineSpec, options: Mapping[str, str], environment: Mapping[str, str]
) -> str | None:
    """The upstream's key from the variable or file that was named, None when none was."""
    if "key_env" in options and "key_file" in options:
        raise ConfigurationError(f"engine {spec.name}: key_env or key_file, not both")
    if file := options.get("key_file"):
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"engine {spec.name}: cannot read key_file {file}: {error}"
            ) from None
        return _checked_key(key, spec, f"the file {file}")
    hosted = "ANTHROPIC_API_KEY" if spec.kind == "anthropic" else None
    variable = options.get("key_env", hosted)
    if variable is None:
        return None
    return _checked_key(environment.get(variable, ""), spec, f"the variable {variable}")


def _checked_key(key: str, spec: EngineSpec, place: str) -> str:
    if not key:
        raise ConfigurationError(f"engine {spec.name}: {place} holds no key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"engine {spec.name}: {place} does not hold one line of plain text"
        )
    return key


def _concurrency(options: Mapping[str, str], text: str) -> int | None:
    value = options.get("concurrency", "auto")
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise ConfigurationError(
            f"engine {_shown(text)}: concurrency={value}; it takes auto or a number from 1"
        )
    return int(value)


def _seconds(options: Mapping[str, str], text: str) -> float | None:
    value = options.get("timeout")
    if value is None:
        return None
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"engine {_shown(text)}: timeout={value}; it takes seconds")
    return seconds


def _pairs(parts: Iterable[str], text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.strip().partition("=")
        if not equals or not key or not value:
            raise ConfigurationError(f"engine {_shown(text)}: {part!r} is not key=value")
        if key in pairs:
            raise ConfigurationError(f"engine {_shown(text)}: {key} is given twice")
        pairs[key] = value
    return pairs


def _address(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _shown(text: str) -> str:
    """A spec fit for a screen: no user info, no value of anything that sounds like a key."""
    bare = re.sub(r"//[^/@]*@", "//…@", text)
    return _INLINE_SECRET.sub(r"\1…", bare)
