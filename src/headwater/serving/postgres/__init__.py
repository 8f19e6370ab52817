"""The Postgres wire: what psql, drivers and BI tools speak, over a `Service`."""

from headwater.serving.postgres.server import Server, serve_postgres

__all__ = ["Server", "serve_postgres"]
