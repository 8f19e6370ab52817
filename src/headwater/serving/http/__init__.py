"""HTTP: queries by POST, tables by GET; answers as Arrow, Parquet, JSON, NDJSON or CSV."""
