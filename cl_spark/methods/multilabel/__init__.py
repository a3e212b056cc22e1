"""Multi-label audits: every example has a set of labels, and each class is a binary problem of its own."""
