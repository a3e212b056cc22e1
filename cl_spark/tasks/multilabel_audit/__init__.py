"""The multi-label audit: examples with sets of labels, as a task of the run machinery."""
