"""Tasks beside next-note prediction: what each learns from and what its figures are, a room a task.

A task here implements the contract of `training/task.py` for the one training loop; its model and the settings of its
`[task]` table are in `models/tasks/`. To add one: a model with settings there and a line in `models/tasks/registry.py`,
a `Task` here and a line in `registry.py`.
"""
