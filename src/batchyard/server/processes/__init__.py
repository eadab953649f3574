"""The server as processes: a supervisor, and the two children it keeps alive."""
