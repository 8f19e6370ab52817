"""One writer at a time on a SQLite catalog: a lock file beside it, held only while a transaction commits. Another keeps history from expiring."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import LakeReadOnly

if TYPE_CHECKING:
    from filelock import FileLock


class WriteLock:
    """Keeps writers from getting into each other's way; correctness never rests on it.

    Every commit is a compare-and-swap on the snapshot id, so who can't have the lock in time (its holder may be a stopped process) may try
    without it. Threads and processes of one machine share it.
    """

    def __init__(self, catalog: Path, name: str = "lock") -> None:
        self._path = catalog.with_name(f"{catalog.name}.{name}")
        self._note = catalog.with_name(f"{catalog.name}.{name}-holder")
        self._threads = threading.Lock()

    @contextmanager
    def held(self, timeout_seconds: float) -> Iterator[bool]:
        """Waits up to `timeout_seconds`, or until the holder turns out to be a stopped process; yields whether the lock is ours.

        Raises LakeReadOnly where no lock file can be made.
        """
        deadline = time.monotonic() + timeout_seconds
        if not self._threads.acquire(timeout=timeout_seconds):
            yield False
            return
        try:
            from filelock import FileLock

            lock = FileLock(self._path, poll_interval=0.005)
            try:
                is_ours = self._acquire(lock, deadline)
            except OSError as error:
                raise LakeReadOnly(
                    "the lake can't be written",
                    found=f"{type(error).__name__} on {self._path.name}",
                    state="nothing was committed",
                    hint="check the permissions of the folder of the lake's catalog",
                ) from error
            if not is_ours:
                yield False
                return
            try:
                self._write_note()
                yield True
            finally:
                lock.release()
        finally:
            self._threads.release()

    def _acquire(self, lock: FileLock, deadline: float) -> bool:
        from filelock import Timeout

        while True:
            try:
                lock.acquire(timeout=max(0.0, min(0.5, deadline - time.monotonic())))
                return True
            except Timeout:
                if time.monotonic() >= deadline or self._is_holder_stopped():
                    return False

    def _read_note(self) -> dict[str, Any]:
        try:
            note = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def holder(self) -> str:
        """Who took the lock last, for messages: `process 4711 on host since 12:00:03`."""
        note = self._read_note()
        return f"process {note['pid']} on {note['host']} since {note['since']}" if note else "an unknown process"

    def _is_holder_stopped(self) -> bool:
        note = self._read_note()
        if note.get("host") != socket.gethostname():
            return False
        try:
            state = Path(f"/proc/{note['pid']}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            if platform.system() == "Linux":
                return False
            found = subprocess.run(["ps", "-o", "state=", "-p", str(note["pid"])], capture_output=True, text=True, check=False)
            state = found.stdout.strip()
        return state[:1] in ("T", "t")

    def _write_note(self) -> None:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            self._note.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))
        except OSError:
            pass  # the note only makes a message better
