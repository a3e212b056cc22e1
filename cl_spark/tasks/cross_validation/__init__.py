"""Cross-validation as a task: out-of-sample probabilities of a model, and the audit of the labels by them."""
