"""Scripts of the project; tests import what they check."""
