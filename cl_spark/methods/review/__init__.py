"""People in the loop: the review queue as tools and pages show it, and the answers that come back."""
