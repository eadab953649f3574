"""One script per path; each prints one table with the floor or the peer beside it."""
