"""Several annotators: consensus labels, their quality, and how far each annotator is to be trusted."""
