"""Sources: every format gives its rows, and every fault its words."""
