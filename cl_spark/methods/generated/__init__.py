"""Generated data: what to keep of it, judged beside real data."""
