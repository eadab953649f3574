"""The catalog: few, small rows that say what the bytes mean. SQLite through SQLAlchemy Core."""
