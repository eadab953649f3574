"""Addresses: which ones only this machine reaches, and what binding says when it cannot."""

from __future__ import annotations

import socket

import pytest

from batchyard.errors import ConfigurationError
from batchyard.server.listen import bind, is_loopback, origin


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.evil", ""])
def test_everything_else_is_reachable_from_outside(host: str) -> None:
    assert not is_loopback(host)


def test_port_0_takes_a_free_one() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert origin(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_a_server_on_every_address_is_reached_on_loopback() -> None:
    with bind("0.0.0.0", 0) as listener:
        assert origin(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_names_another_one() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"
        ) as caught:
            bind("127.0.0.1", port)
    assert f"--port {port + 1}" in str(caught.value.fix)


@pytest.mark.parametrize("host", ["no such host", "host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no address of this machine"):
        bind(host, 0)
