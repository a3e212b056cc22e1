"""What lies near what: nearest neighbors, outliers and duplicates of features or texts."""
