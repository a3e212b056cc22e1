"""The tasks: each kind of run there is, and what it needs, writes and shows."""
