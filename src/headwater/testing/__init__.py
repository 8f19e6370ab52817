"""The public kit: what a package that extends Headwater tests itself with. Fakes are used as the real things are; nothing is patched.

`ConnectorContract` (needs pytest) is the suite that every connector passes; `read_rows` runs a reading as a load would; `FakeSource` is a source that
dies when it is told to; `DestinationContract` and `FakeDestination` are the same for destinations;
`FakeClock` goes only when it is moved; `faulty_files` writes the files that break readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.testing import faulty_files
from headwater.testing.clock import FakeClock
from headwater.testing.fake_destination import FakeDestination
from headwater.testing.fake_source import FakeSource
from headwater.testing.reading import read_rejects, read_rows

if TYPE_CHECKING:
    from headwater.testing.contract import KNOWN_ROWS, ConnectorContract
    from headwater.testing.destinations import DestinationContract

__all__ = [
    "KNOWN_ROWS",
    "ConnectorContract",
    "DestinationContract",
    "FakeClock",
    "FakeDestination",
    "FakeSource",
    "faulty_files",
    "read_rejects",
    "read_rows",
]


def __getattr__(name: str) -> Any:
    """The contract suite imports pytest, which who only wants a fake need not have."""
    if name in ("ConnectorContract", "KNOWN_ROWS"):
        from headwater.testing import contract

        return getattr(contract, name)
    if name == "DestinationContract":
        from headwater.testing import destinations

        return destinations.DestinationContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
