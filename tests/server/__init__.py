"""The composition root, its settings and its processes."""
