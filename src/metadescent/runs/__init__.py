"""A meta-training run as a folder: recipe, plan, resume, search, doctor, report."""
