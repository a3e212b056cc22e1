"""Verdicts as a task: the answers to a review queue, decided, and what they tell of the whole table."""
