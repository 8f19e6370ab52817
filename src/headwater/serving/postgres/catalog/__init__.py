"""Postgres' system catalogs, as a session sees them: `questions` to them in DuckDB's words, and the `catalogs` that answer."""
