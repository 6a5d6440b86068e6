"""What needs four devices is run by a test in a process of its own, and not collected in this one."""

collect_ignore = ["on_four_devices.py"]
