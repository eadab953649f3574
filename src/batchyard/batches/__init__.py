"""What is true of batches: pure values and laws, no I/O, no await, no clock."""
