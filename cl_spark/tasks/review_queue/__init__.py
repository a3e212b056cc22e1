"""The review queue as a task: which issues people look at first, beside a random share of other rows."""
