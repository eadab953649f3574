"""Every setting, its default, and where it may come from: flags, environment, one TOML file."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batchyard.errors import ConfigurationError

PREFIX = "BATCHYARD_"
FILE_NAME = "batchyard.toml"

_NOT_SETTINGS = {"BATCHYARD_SERVER", "BATCHYARD_API_KEY", "BATCHYARD_CONFIG"}
"""Variables with our prefix that the client's verbs read, not the server."""

_NOT_SERVING = ("prices",)
"""Tables of the file that the verbs of a dataset read, not the server."""

_PRIVATE = "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 ::1/128 fc00::/7"
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[int, Field(ge=1)]
_Words = Annotated[tuple[str, ...], NoDecode]  # in the environment separated by blanks


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelNames(_Section):
    """`[models]`: names under which clients may ask for a served model."""

    aliases: dict[str, str] = Field(default={}, description="asked-for name = served name")


class Compatibility(_Section):
    """`[compat]`: where the hosted API and a self-hosted one may sensibly differ."""

    documented_counts: bool = Field(
        default=False, description="all requests count as processing until the batch ends"
    )
    strict_version: bool = Field(
        default=False, description="refuse what the asked-for API version refuses"
    )


class LimitSettings(_Section):
    """`[limits]`: sizes in bytes, times in seconds; the defaults are the hosted API's."""

    requests_max: _Count = Field(default=100_000, description="requests in one batch")
    body_bytes_max: _Count = Field(default=268_435_456, description="bytes of one create call")
    batches_in_process_max: _Count = Field(
        default=100, description="unfinished batches of a workspace"
    )
    processing_seconds: _Seconds = Field(default=24 * 3600, description="from creation to expiry")
    results_seconds: _Seconds = Field(
        default=29 * 24 * 3600, description="from creation to archival"
    )
    sdk_retry_seconds: _Seconds = Field(
        default=15 * 60, description="how long a repeated create by an SDK finds the first batch"
    )
    idempotency_seconds: _Seconds = Field(
        default=24 * 3600, description="how long an Idempotency-Key is remembered"
    )
    live_body_bytes_max: _Count = Field(
        default=32 * 1024 * 1024, description="bytes of one live call"
    )


class Settings(BaseSettings):
    """What `batchyard serve` can be told. A plain value: only `load` looks around.

    Precedence: flags, then `BATCHYARD_*` variables (`__` between levels), then the first
    `batchyard.toml` found, then these defaults. Unknown keys are errors.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8484, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("batchyard"), description="where everything is kept"
    )
    role: Literal["all", "api", "dispatch"] = Field(default="all", description="which half to run")
    engines: _Words = Field(default=(), description="the engines, one spec each")
    concurrency: Literal["auto"] | _Count = Field(
        default="auto", description="requests in flight per engine"
    )
    auto_alias: bool = Field(
        default=True, description="claude-* means the only served model (on loopback)"
    )
    public_url: str | None = Field(default=None, description="how clients reach this server")
    cors_origins: _Words = Field(default=(), description="web origins that may call from a browser")
    trusted_proxies: _Words = Field(
        default=tuple(_PRIVATE.split()),
        description="networks of proxies whose X-Forwarded headers are believed",
    )
    insecure_no_auth: bool = Field(
        default=False, description="listen beyond loopback without API keys"
    )
    request_timeout_seconds: _Seconds = Field(
        default=600, description="longest wait for one answer of an engine"
    )
    drain_seconds: int = Field(
        default=20, ge=0, description="time for answers in flight at shutdown"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="least severe log line written"
    )
    models: ModelNames = ModelNames()
    compat: Compatibility = Compatibility()
    limits: LimitSettings = LimitSettings()

    @field_validator("engines", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("public_url", mode="after")
    @classmethod
    def _is_a_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")) or any(mark in value for mark in "?#@"):
            raise ValueError("must look like https://batches.example.com")
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def load(cls, config_file: Path | str | None = None, **flags: Any) -> Self:
        """Settings from all sources. A flag that is None (or an empty tuple) was not given.

        Raises `ConfigurationError`, naming the source, the value, the rule and the nearest key.
        """
        file = _chosen_file(config_file)
        sources: list[tuple[str, dict[str, Any]]] = [
            ("flag", {name: value for name, value in flags.items() if value not in (None, ())}),
            ("environment", _environment(cls)),
            (str(file), _read(file) if file else {}),
        ]
        merged: dict[str, Any] = {}
        for _, values in reversed(sources):
            merged = _merged(merged, values)
        try:
            return cls(**merged)
        except ValidationError as error:
            raise _explained(error, sources) from None


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting as a dotted key, in order of declaration: what the documentation lists."""
    for name, field in Settings.model_fields.items():
        section = _section_of(field)
        if section is None:
            yield name, field
        else:
            yield from ((f"{name}.{key}", inner) for key, inner in section.model_fields.items())


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _chosen_file(given: Path | str | None) -> Path | None:
    """The file to read: the one given, which must exist, else the first of the usual places."""
    given = given or os.environ.get("BATCHYARD_CONFIG")
    if given is None:
        folders = (Path(), user_config_path("batchyard"), Path("/etc/batchyard"))
        return next((file for folder in folders if (file := folder / FILE_NAME).is_file()), None)
    path = Path(given).expanduser()
    if not path.is_file():
        raise ConfigurationError(f"there is no config file {path}", fix="check --config")
    return path


def _read(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    return {key: value for key, value in found.items() if key not in _NOT_SERVING}


def _environment(cls: type[Settings]) -> dict[str, Any]:
    """The `BATCHYARD_*` variables as nested values; an unknown one is an error."""
    known = set(cls.model_fields)
    for name in os.environ:
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS or _is_service_link(name):
            continue
        key = name.removeprefix(PREFIX).lower().split("__")[0]
        if key not in known:
            raise ConfigurationError(f"unknown variable {name}" + _nearest(key, known, env=True))
    values = EnvSettingsSource(cls)()
    if _is_service_link("BATCHYARD_PORT"):
        values.pop("port", None)
    return values


def _is_service_link(name: str) -> bool:
    """Kubernetes puts such variables into every pod beside a service called `batchyard`."""
    rest = name.removeprefix(PREFIX)
    if rest == "PORT":
        return "://" in os.environ.get(name, "")
    return rest.startswith(("SERVICE_HOST", "SERVICE_PORT", "PORT_"))


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`low` overlaid with `high`, tables key by key."""
    result = {**low, **high}
    for key in low.keys() & high.keys():
        if isinstance(low[key], Mapping) and isinstance(high[key], Mapping):
            result[key] = _merged(low[key], high[key])
    return result


def _explained(
    error: ValidationError, sources: list[tuple[str, dict[str, Any]]]
) -> ConfigurationError:
    """The first fault as one sentence: key, value, source, rule."""
    first = error.errors()[0]
    # A choice of types reports one error per type, its tag at the end of the location.
    location = [str(part) for part in first["loc"]]
    known = dict(keys())
    while len(location) > 1 and ".".join(location) not in known and location[0] in known:
        location.pop()
    key = ".".join(location)
    origin = next((name for name, values in sources if _has(values, location)), "default")
    if first["type"] == "extra_forbidden":
        section = key.rpartition(".")[0]
        siblings = {name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == section}
        if not section:
            siblings = set(Settings.model_fields)
        return ConfigurationError(
            f"unknown setting {key} ({origin}){_nearest(location[-1], siblings)}"
        )
    rules = "; or ".join(fault["msg"] for fault in error.errors() if fault["loc"][0] == location[0])
    return ConfigurationError(f"{key} = {first['input']!r} ({origin}): {rules}")


def _has(values: Mapping[str, Any], location: list[str]) -> bool:
    """Whether a source speaks of `location`."""
    below: Any = values
    for part in location:
        if not isinstance(below, Mapping) or part not in below:
            return False
        below = below[part]
    return True


def _nearest(key: str, known: set[str], *, env: bool = False) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if not near:
        return "; known: " + ", ".join(sorted(known))
    return f"; did you mean {PREFIX + near[0].upper() if env else near[0]}?"
