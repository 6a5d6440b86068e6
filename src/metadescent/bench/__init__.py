"""An optimizer on tasks that it never saw: the tasks, what they are measured by, and scores."""
