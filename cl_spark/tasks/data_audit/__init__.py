"""The data audit: bad rows of every kind, as a task of the run machinery."""
