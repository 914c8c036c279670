"""Models of tasks beside next-note prediction, over the same bodies: a file a task, found by `registry.py`."""
