"""Results on their way to a reader: which bytes are wanted, and how they are sent."""
