"""Keys that go down and up, and time between them: `performance`."""
