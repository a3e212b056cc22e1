"""The token audit: sentences, each token with a label, as a task of the run machinery."""
