"""Forecasts of melodies: a melody as numbers over time, simple floors, errors by horizon, and the task itself."""
