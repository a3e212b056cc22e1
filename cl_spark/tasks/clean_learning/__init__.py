"""Learning with noisy labels as a task: find the label issues, and train a model without them."""
