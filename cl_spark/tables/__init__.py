"""Tables: their columns and schemas, reading inputs, writing results, finished runs. Nothing else opens a
table.
"""
