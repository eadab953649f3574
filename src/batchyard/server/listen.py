"""The listening socket: bound by the supervisor, so that it outlives the process that serves it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from batchyard.errors import ConfigurationError

BACKLOG = 2048
"""Connections the kernel queues while the api process is being started again."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`, whatever form it is written in."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises `ConfigurationError` in words that say what to change."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigurationError(
            f"cannot listen on {host}: it is no address of this machine ({error})",
            fix="--host 127.0.0.1 (this computer only)",
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _explained(error, host, port) from None
    return listener


def origin(listener: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _explained(error: OSError, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"port {port} on {host} is taken by another program; nothing was started",
            fix=f"--port {port + 1 if port < 65535 else 8484}, or stop the other program",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            f"port {port} is reserved for the administrator of this machine",
            fix="--port 8484, or any other from 1024",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(
            f"{host} is no address of this machine",
            fix="--host 127.0.0.1 (this computer only) or --host 0.0.0.0 (every address)",
        )
    return ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}")
