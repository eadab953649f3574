"""Upstreams that do exactly what a test tells them, over real sockets."""
