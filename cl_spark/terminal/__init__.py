"""The command line, what it prints, and the progress it shows."""
