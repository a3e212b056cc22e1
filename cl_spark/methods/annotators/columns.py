"""The names of columns of votes, each written once."""

from cl_spark.tables import columns as c

ANNOTATORS, LABELS, CANDIDATES = "_annotators", "_labels", "_candidates"
HAS_PREDICTION, GOLD, NUM_REPEATED, FAULT = "_has_prediction", "_gold", "_num_repeated", "_fault"
TRUE, WEIGHT = "_true", "_weight"
"""Columns of the weights of true classes."""

BLOCK_COLUMNS = (ANNOTATORS, LABELS, CANDIDATES, c.PROBS, HAS_PREDICTION, GOLD)
"""Columns of a row of votes: lists of annotators (codes), of their labels, of candidate classes and of their
probabilities (of all models, one candidate after the other); and single values.
"""
