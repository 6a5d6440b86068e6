"""The data of the tasks: readers and generators of examples."""
