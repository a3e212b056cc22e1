"""Nearest neighbors, outliers and duplicates of rows, by their features or texts."""
