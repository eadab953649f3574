"""Live calls: read, routed to an engine, and its answer passed back."""
