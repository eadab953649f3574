"""Fixtures for tests that start real servers."""

from tests.live.conftest import Serve, pytest_runtest_makereport, serve, serve_module

__all__ = ["Serve", "pytest_runtest_makereport", "serve", "serve_module"]
