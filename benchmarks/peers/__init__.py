"""What others do with the same requests: one client a file, run by an interpreter of its own."""
