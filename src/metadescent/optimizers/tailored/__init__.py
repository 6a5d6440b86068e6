"""An optimizer for one family of problems: quasi-Newton steps that are guarded and led."""
