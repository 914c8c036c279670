"""The task `perform`: how notes are played, as densities of times and velocities (`models/tasks/performer.py`)."""
