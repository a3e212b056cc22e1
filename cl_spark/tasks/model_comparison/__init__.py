"""The comparison of models as a task: accuracy and ranks by given and by corrected labels."""
