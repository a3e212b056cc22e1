"""Benchmarks: seeded data of any size, the audit of it, and the floor below which no reader can go."""
