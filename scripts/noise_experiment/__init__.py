"""Methods that learn with noisy labels, compared on one small network and on data of scikit-learn."""
