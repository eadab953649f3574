"""What a run will take, told before it is paid for, and the caps it keeps to."""
