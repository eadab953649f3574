"""Who may come in: `x-api-key` or `Authorization: Bearer`, and the workspace a key opens."""

from __future__ import annotations

from batchyard.api.call import Call, Caller
from batchyard.clock import Clock
from batchyard.errors import AuthenticationFailed, PermissionDenied
from batchyard.store.keys import DEFAULT_WORKSPACE, Keys

REMEMBER_SECONDS = 0.5
"""How long a good key, or that there is none at all, is believed without looking again: a poll
costs half as much, and a revoked key is still out within a second."""

_REMEMBERED_MAX = 1_024


class Gate:
    """Decides on whose behalf a call is made.

    While `required` is False and no key exists, everybody is the default workspace. From the moment
    one exists, every call needs one, for as long as this process lives.
    """

    def __init__(
        self,
        keys: Keys | None,
        clock: Clock,
        *,
        required: bool,
        organization_id: str,
        web_origins: tuple[str, ...] = (),
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._required = required
        self._web_origins = web_origins
        self._organization = (b"anthropic-organization-id", organization_id.encode())
        self._open_until = 0.0
        self._callers: dict[str, tuple[float, Caller]] = {}

    def admit(self, call: Call) -> Caller:
        """The caller; raises `AuthenticationFailed`, or `PermissionDenied` for another workspace.

        Also puts the identity headers on the answer, whatever becomes of it.
        """
        if self.is_open():
            self._refuse_other_sites(call)
            caller = Caller(DEFAULT_WORKSPACE)
        else:
            caller = self._by_key(call)
            wanted = call.field(b"anthropic-workspace-id")
            if wanted is not None and wanted != caller.workspace_id:
                raise PermissionDenied(
                    f'anthropic-workspace-id: "{wanted[:64]}" is not the workspace of this key.',
                    fix="Leave the header out, or use a key of that workspace.",
                    code="workspace_mismatch",
                )
        identity = call.scope["identity"]
        identity.append(self._organization)
        identity.append((b"anthropic-workspace-id", caller.workspace_id.encode()))
        return caller

    def is_open(self) -> bool:
        """Whether no key is asked for; looked up at most once per `REMEMBER_SECONDS`."""
        if self._required or self._keys is None:
            return not self._required
        now = self._clock.monotonic()
        if now >= self._open_until:
            # Once a key was seen it stays so: revoking the last one must not open the door.
            self._required = self._keys.any()
            self._open_until = now + REMEMBER_SECONDS
        return not self._required

    def _refuse_other_sites(self, call: Call) -> None:
        """Without keys, any web page the user opens could post to this machine: it may not.

        Browsers put `Origin` on every cross-site POST; programs do not send it.
        """
        origin = call.field(b"origin")
        if origin is None or call.method in ("GET", "HEAD") or origin in self._web_origins:
            return
        if origin.partition("://")[2] != call.field(b"host"):
            raise PermissionDenied(
                f'Origin: calls from web pages of "{origin[:100]}" are not allowed.',
                fix="List the origin in cors_origins, or require API keys.",
                code="foreign_origin",
            )

    def _by_key(self, call: Call) -> Caller:
        """The caller of the first valid key: older SDKs may send both headers, each another key."""
        presented = _presented(call)
        if not presented:
            raise AuthenticationFailed(
                "No API key was sent.",
                fix="Send it as `x-api-key: KEY` or `Authorization: Bearer KEY`.",
            )
        for secret in presented:
            caller = self._caller(secret)
            if caller is not None:
                return caller
        raise AuthenticationFailed("API key is invalid.")

    def _caller(self, secret: str) -> Caller | None:
        """Whom a key stands for; None if it is not valid."""
        now = self._clock.monotonic()
        known = self._callers.get(secret)
        if known is not None and now < known[0]:
            return known[1]
        key = self._keys.find(secret) if self._keys else None
        if key is None:
            return None
        if len(self._callers) >= _REMEMBERED_MAX:
            self._callers.clear()
        caller = Caller(key.workspace_id, key.id)
        self._callers[secret] = (now + REMEMBER_SECONDS, caller)
        return caller


def _presented(call: Call) -> list[str]:
    """Every credential of the call; an unknown scheme counts as a key that is wrong."""
    secrets = []
    for name, value in call.scope["headers"]:
        if name == b"x-api-key":
            secrets.append(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, rest = value.decode("latin-1").strip().partition(" ")
            secrets.append(rest.strip() if scheme.lower() == "bearer" else "")
    return secrets
