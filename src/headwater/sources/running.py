"""Running a Scan from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.engine import Connection
from headwater.errors import HeadwaterError
from headwater.sources.connector import Scan


@contextmanager
def scan_ready(connection: Connection, scan: Scan) -> Iterator[str]:
    """Inside it `scan.sql` (and after it, `scan.rejects_sql`) can be run on `connection`; gives the SQL.

    Loads the extensions and runs the setup; teardown and cleanup run at the end, whatever happened. An engine's error met inside leaves as the
    SourceError it means. End any transaction that read the scan before leaving: what was attached is detached here.
    """
    try:
        try:
            for extension in scan.extensions:
                connection.load(extension)
            for statement in scan.setup:
                connection.execute(statement)
            yield scan.sql
        except HeadwaterError as error:
            explained = scan.explain(error) if scan.explain is not None else error
            if explained is error:
                raise
            raise explained from None  # the cause may hold credentials
    finally:
        for statement in scan.teardown:
            try:
                connection.execute(statement)
            except HeadwaterError:
                pass  # a failed read may have left nothing to take down
        if scan.cleanup is not None:
            scan.cleanup()
