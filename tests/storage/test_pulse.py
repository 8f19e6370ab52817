"""The catalog's own mark of its newest commit: it never stays the same over a commit, whoever made it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lakes import Place, put

from headwater.storage import pulse
from headwater.storage.pulse import Pulse


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    path = tmp_path / "c.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (i INTEGER)")
    yield path, connection
    connection.close()


def test_a_commit_changes_it_and_reading_does_not(catalog: tuple[Path, sqlite3.Connection]) -> None:
    path, connection = catalog
    mark = Pulse(path).read()
    assert mark is not None
    connection.execute("SELECT * FROM t").fetchall()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (0)")
    assert Pulse(path).read() == mark
    connection.execute("ROLLBACK")
    assert Pulse(path).read() == mark
    seen = {mark}
    for number in range(50):
        connection.execute("INSERT INTO t VALUES (?)", [number])
        mark = Pulse(path).read()
        assert mark is not None
        assert mark not in seen
        seen.add(mark)


def test_another_process_changes_it(catalog: tuple[Path, sqlite3.Connection]) -> None:
    path, _ = catalog
    mark = Pulse(path).read()
    insert = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('INSERT INTO t VALUES (1)'); c.commit()"
    subprocess.run([sys.executable, "-c", insert], check=True)
    assert Pulse(path).read() not in (mark, None)


def test_it_can_not_be_told_of_what_nobody_has_open_or_what_keeps_no_log(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    assert Pulse(path).read() is None
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE t (i INTEGER)")
    assert Pulse(path).read() is None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO t VALUES (1)")
    assert Pulse(path).read() is not None
    connection.close()
    assert Pulse(path).read() is None


def test_a_file_is_closed_only_when_its_name_is_gone(tmp_path: Path) -> None:
    marks = set()
    for _ in range(3):
        connection = sqlite3.connect(tmp_path / "c.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (i INTEGER)")
        connection.execute("INSERT INTO t VALUES (1)")
        marks.add(Pulse(tmp_path / "c.sqlite").read())
        connection.close()
    assert len(marks) == 3
    assert sum(path.parent == tmp_path for path in pulse._open) == 1
    others = [(path, file) for path, (file, _, _) in pulse._open.items() if path.parent != tmp_path]
    assert all(os.fstat(file).st_nlink or not path.exists() for path, file in others)


def test_a_reader_never_sees_an_older_head_than_was_committed_before_it_asked(place: Place) -> None:
    ours, theirs = place.open(), place.open()
    ours.keep_connections()
    put(theirs, "SELECT 0 AS id")
    committed = [theirs.head()]
    wrong: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        standing = ours._door.standing
        while not stop.is_set():
            at_least = committed[-1]
            stand = standing.take()
            if stand.base < at_least:
                wrong.append((stand.base, at_least))
            standing.give_back(stand, is_clean=True)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 25):
        committed.append(put(theirs if number % 2 else ours, f"SELECT {number} AS id"))
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
