"""Reading and writing tables: Parquet and Delta, by path or by catalog name. Nothing else opens a table."""
