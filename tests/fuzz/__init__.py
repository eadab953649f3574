"""Every parser of bytes from outside, each with the laws it must keep whatever the bytes are."""
