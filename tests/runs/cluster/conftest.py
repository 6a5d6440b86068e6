"""What needs four devices is run by a test, in a process of its own; here it is not collected."""

collect_ignore = ["on_four_devices.py"]
