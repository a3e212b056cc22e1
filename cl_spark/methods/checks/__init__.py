"""Checks of a table for bad rows of every kind, label errors among them."""
