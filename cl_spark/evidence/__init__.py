"""From an input row to packed blocks of evidence."""
