"""What the crash suite's tests share: the process that forks those that are killed, and catalogs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from shop import Shop

POSTGRES = os.environ.get("HEADWATER_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


class Zygote:
    """The process that forks the processes that are killed."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).parent / "zygote.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, do: str, directory: Path, **job: Any) -> int:
        pid: int = self._ask({"start": {"do": do, "directory": str(directory), **job}})["pid"]
        return pid

    def wait(self, pid: int) -> dict[str, Any]:
        return self._ask({"wait": pid})

    def run(self, directory: Path, **job: Any) -> dict[str, Any]:
        return self.wait(self.start("run", directory, **job))

    def check_published(self, shop: Shop) -> None:
        answer = self.wait(self.start("check", shop.directory))
        assert answer.get("wrong") == [], answer

    def check_everything(self, shop: Shop) -> None:
        answer = self.wait(self.start("check", shop.directory, seed=shop.seed, rounds=shop.rounds))
        assert answer.get("wrong") == [], answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@contextmanager
def catalog_url(kind: str) -> Iterator[str]:
    """A catalog of its own; dropped afterwards."""
    if kind == "sqlite":
        yield ".headwater/lake.sqlite"
        return
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError:
        pytest.skip("no Postgres here")
    schema = f"crash_{uuid.uuid4().hex[:10]}"
    yield f"{POSTGRES}?schema={schema}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
