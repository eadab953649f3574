"""How others send the same requests: one client a file, each run by an interpreter of its own."""
