"""Tasks, one file a kind, found by discovery; none imports JAX before a task is made."""
