"""What the tasks learn from: readers and generators of examples."""
