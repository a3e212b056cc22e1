"""Confident learning for classification, in the order of the paper."""
