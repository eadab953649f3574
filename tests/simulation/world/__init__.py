"""A world in one thread: a server, its disk and engines, its users, and what befalls them."""
