"""One HTTP exchange as the handlers see it: who asks, under which version, from which origin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import Request

from batchyard.api.context import Network
from batchyard.errors import InvalidRequest

KNOWN_VERSIONS = ("2023-06-01", "2026-10-21")
DEFAULT_VERSION = KNOWN_VERSIONS[0]

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?\Z")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+\Z")

_FORWARDED = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-prefix")


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made. `key_id` is None where no key is asked for."""

    workspace_id: str
    key_id: str | None = None


class Call(Request):
    """A request whose caller is known. `caller` is set before a handler sees the call."""

    caller: Caller

    def field(self, name: bytes) -> str | None:
        """The value of the header `name` (lower case), the last one if it is repeated.

        One dictionary for all look-ups: polls are frequent, and each look-up in `headers` reads
        the whole list.
        """
        try:
            value = self._fields.get(name)
        except AttributeError:
            self._fields: dict[bytes, bytes] = dict(self.scope["headers"])
            value = self._fields.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def request_id(self) -> str:
        """The `req_` id that the answer carries, in its header and in any error."""
        text: str = self.scope["request_id"]
        return text

    def api_version(self) -> str:
        """The version asked for, the older one when none is; raises `InvalidRequest` if unknown."""
        version = self.field(b"anthropic-version")
        if version is None or version in KNOWN_VERSIONS:
            return version or DEFAULT_VERSION
        raise InvalidRequest(
            f'anthropic-version: "{version[:64]}" is not a version this server knows.',
            fix=f"Send one of {', '.join(KNOWN_VERSIONS)}, or leave the header out.",
            code="unknown_version",
        )

    def betas(self) -> tuple[str, ...]:
        """Every `anthropic-beta` value, over repeated lines and comma lists, each once, in order.

        Values are not judged: SDKs send arbitrary strings.
        """
        lines = self.headers.getlist("anthropic-beta")
        values = (value.strip() for line in lines for value in line.split(","))
        return tuple(dict.fromkeys(value for value in values if value))

    def origin(self, public_url: str | None, trusted: tuple[Network, ...]) -> str:
        """Scheme, host and path prefix under which this client reaches us, without a final `/`.

        SDKs send their credentials to whatever host `results_url` names, so it must be the one
        they already use: derived anew for each answer, never kept.
        """
        if public_url:
            return public_url.rstrip("/")
        scheme, host = self.scope["scheme"], self.field(b"host") or ""
        prefix = self.scope.get("root_path", "")
        proto, outer, path = (self.field(name) for name in _FORWARDED)
        if (proto or outer or path) and self._peer_in(trusted):
            proto, outer = _first(proto).lower(), _first(outer)
            path = _first(path).rstrip("/")
            scheme = proto if proto in ("http", "https") else scheme
            host = outer if _HOST.match(outer) else host
            prefix = path if _PREFIX.match(path) else prefix
        if not _HOST.match(host):
            host = self._own_address()
        return f"{scheme}://{host}{prefix}"

    def _peer_in(self, trusted: tuple[Network, ...]) -> bool:
        """Whether the direct peer is a trusted proxy; over a Unix socket there is no address."""
        client = self.scope.get("client")
        if not client or not client[0]:
            return True
        try:
            address = ip_address(client[0])
        except ValueError:
            return True
        return any(address in network for network in trusted)

    def _own_address(self) -> str:
        host, port = self.scope.get("server") or ("localhost", None)
        host = f"[{host}]" if ":" in host else host
        return f"{host}:{port}" if port else host


def _first(values: str | None) -> str:
    """The first of a comma list: what the outermost proxy saw."""
    return (values or "").partition(",")[0].strip()
