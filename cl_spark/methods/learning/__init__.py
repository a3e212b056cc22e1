"""Learning with noisy labels: out-of-sample probabilities, pruning and retraining, noise for experiments."""
