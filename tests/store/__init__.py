"""The store room: what is remembered, and what a crash may not take."""
