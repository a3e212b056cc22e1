"""Generated data judged beside real data, as a task of the run machinery."""
