"""Which state of the project's repository a run came from, and who ran it."""

from __future__ import annotations

import getpass
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class GitInfo:
    """None where there is no repository, or no git. `is_dirty` counts the project's own folder, untracked files included."""

    commit: str | None = None
    is_dirty: bool | None = None
    author: str | None = None


def read_git(directory: Path) -> GitInfo:
    """One `git status` and, for the name, one `git config`; never fails."""
    author = _git(directory, "config", "user.name") or _user()
    status = _git(directory, "status", "--porcelain=v2", "--branch", "--", ".")
    if status is None:
        return GitInfo(author=author)
    lines = status.splitlines()
    commit = next((line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")), None)
    return GitInfo(None if commit == "(initial)" else commit, any(not line.startswith("#") for line in lines), author)


def _git(directory: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(directory), "--no-optional-locks", *arguments]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, env=environment, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None
