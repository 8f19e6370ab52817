"""The rows of one query."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from headwater.errors import MissingDependency

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class _Rows(Protocol):
    """What a query's rows are read from."""

    @property
    def columns(self) -> list[str]: ...
    @property
    def types(self) -> list[str]: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def fetchmany(self, size: int) -> list[tuple[Any, ...]]: ...
    def arrow(self) -> pa.Table: ...
    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader: ...
    def close(self) -> None: ...


class Result:
    """Rows of one query, read once, in whichever form. Use it with `with`, or read it whole; the lake is not held up by it.

    `columns` and `types` (DuckDB's names) are in order.
    """

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self.columns = rows.columns
        self.types = rows.types

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples."""
        return self._rows.fetchall()

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        """The next `size` rows; an empty list at the end."""
        return self._rows.fetchmany(size)

    def arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self._rows.arrow()

    def batches(self, rows: int = 100_000) -> pa.RecordBatchReader:
        """Arrow batches of up to `rows` rows, streamed, for what doesn't fit in memory. Close the result after the last."""
        return self._rows.batches(rows)

    def df(self) -> pd.DataFrame:
        """All rows as a pandas frame. Raises MissingDependency without pandas."""
        try:
            import pandas as pd  # noqa: F401 -- an optional part, which pyarrow needs for this
        except ImportError as error:
            raise _missing("pandas") from error
        frame: pd.DataFrame = self.arrow().to_pandas()
        return frame

    def polars(self) -> pl.DataFrame:
        """All rows as a Polars frame. Raises MissingDependency without Polars."""
        try:
            import polars as pl  # an optional part
        except ImportError as error:
            raise _missing("polars") from error
        frame = pl.from_arrow(self.arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def close(self) -> None:
        """Gives back what the query held. Idempotent."""
        self._rows.close()

    def __enter__(self) -> Result:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _missing(package: str) -> MissingDependency:
    return MissingDependency(f"{package} isn't installed", hint="pip install 'headwater[frames]'")
