"""Help and status answer at once: nothing heavy is imported for them that they don't need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services import without_a_terminal

HEAVY = {"duckdb", "pyarrow", "pandas", "polars", "sqlalchemy", "alembic", "sqlglot", "pydantic", "yaml", "stamina"}


#: What only runs, loads, doors, backups and terminals need.
NOT_FOR_STATUS = {"pyarrow", "pandas", "polars", "sqlalchemy", "alembic", "sqlglot", "stamina", "psycopg", "asyncio", "cryptography", "rich.console"}
ROOMS_NOT_FOR_STATUS = ("headwater.ingestion", "headwater.sources", "headwater.serving", "headwater.client", "headwater.testing")
MODULES_NOT_FOR_STATUS = {
    "headwater.orchestration.executor",
    "headwater.orchestration.run",
    "headwater.orchestration.tasks",
    "headwater.orchestration.verbs",
    "headwater.security.oidc",
    "headwater.security.users",
    "headwater.transformation.build",
    "headwater.transformation.kinds",
}


def _imported_by(*arguments: str, cwd: Path | None = None) -> tuple[str, set[str]]:
    """What a command prints on stdout, and the modules it has imported at its end."""
    program = f"import sys; sys.argv = {['headwater', *arguments]}\nfrom headwater.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    program += "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=without_a_terminal(), capture_output=True, text=True, check=True)
    return done.stdout, set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(("argument", "said"), [("--help", "Usage"), ("--version", "headwater 0.")])
def test_help_imports_nothing_heavy(argument: str, said: str) -> None:
    output, modules = _imported_by(argument)
    assert said in output
    assert HEAVY & modules == set()


def test_status_imports_nothing_of_what_runs_tables(tmp_path: Path) -> None:
    (tmp_path / "headwater.yaml").write_text("name: quick\n")
    model = tmp_path / "models" / "marts" / "one.sql"
    model.parent.mkdir(parents=True)
    model.write_text("SELECT 1 AS id\n")
    _imported_by("run", cwd=tmp_path)
    output, modules = _imported_by("status", cwd=tmp_path)
    assert "marts.one" in output
    assert "fresh" in output
    rooms = {module for module in modules if module.startswith(ROOMS_NOT_FOR_STATUS)}
    assert (NOT_FOR_STATUS | MODULES_NOT_FOR_STATUS) & modules | rooms == set()


#: What only work needs: a run that finds nothing to do has it not.
NOT_FOR_NO_CHANGE = NOT_FOR_STATUS - {"rich.console"} | {
    "headwater.ingestion.replay",
    "headwater.orchestration.verbs",
    "headwater.project.lineage.derive",
    "headwater.security.audit",
    "headwater.security.users",
    "headwater.serving",
    "headwater.state.opening",
    "headwater.storage.backup",
    "headwater.storage.commit",
    "headwater.storage.exported",
    "headwater.storage.gate",
    "headwater.storage.maintenance",
    "headwater.transformation.build",
    "headwater.transformation.kinds",
}


def test_a_run_that_finds_nothing_to_do_imports_nothing_that_works(tmp_path: Path) -> None:
    (tmp_path / "headwater.yaml").write_text("name: quick\n")
    (tmp_path / "items.csv").write_text("id\n1\n")
    source = tmp_path / "sources" / "raw.yaml"
    source.parent.mkdir()
    source.write_text("type: files\nstreams:\n  items: {path: items.csv}\n")
    model = tmp_path / "models" / "marts" / "one.sql"
    model.parent.mkdir(parents=True)
    model.write_text("SELECT * FROM raw.items\n")
    _imported_by("run", cwd=tmp_path)
    output, modules = _imported_by("run", "--json", cwd=tmp_path)
    assert [task["status"] for task in json.loads(output)["tasks"]] == ["skipped", "skipped"]
    assert NOT_FOR_NO_CHANGE & modules == set()


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, headwater; headwater.HeadwaterError; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.split()) == set()
