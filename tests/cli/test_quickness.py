"""Help answers at once: nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"duckdb", "pyarrow", "pandas", "polars", "sqlalchemy", "alembic", "sqlglot", "pydantic", "yaml", "stamina"}


def test_help_imports_nothing_heavy() -> None:
    program = "import sys; sys.argv = ['headwater', '--help']\nfrom headwater.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    program += "sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, headwater; headwater.HeadwaterError; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.split()) == set()
