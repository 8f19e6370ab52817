"""All benchmarks, one after the other; writes `benchmarks/results.md`.

    python benchmarks/run.py [NAME ...] [--quick] [--no-peers]

Names are `cli`, `models`, `turns`, `models2000`, `tpch`, `postgres`, `checks`, `lineage`, `gate`, `tokens`, `doors`, `wire`; without any, all of
them. `crash` (`make stress`) is run when it is named. The section of results.md for each is replaced by the new measurement; the others stay. Peers
(dbt-duckdb, SQLMesh, dlt) are installed into `.peers-venv` if that works.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import venv
from pathlib import Path

import measure

RESULTS = measure.HERE / "results.md"
PEERS = (("duckdb==1.5.5", "dbt-duckdb"), ("sqlmesh",), ("dlt[duckdb]", "connectorx", "psycopg2-binary", "pyarrow", "sqlalchemy"))
HEAD = """# Benchmarks

Made by `make bench`. Each figure stands beside its floor or its peers, measured in the same run on the same machine.
Carry the ratios, not the seconds.
"""


def install_peers() -> Path | None:
    """The interpreter of a virtual environment with the peers, or None where they don't install."""
    folder = measure.ROOT / ".peers-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for group in PEERS:
            done = subprocess.run([str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", *group], capture_output=True, text=True)
            if done.returncode:
                print(f"peers left out: {group} doesn't install: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                return None
    return python


def commands(quick: bool, peers: Path | None) -> dict[str, list[str]]:
    with_peers = ["--peers", str(peers)] if peers else []
    rounds = ["--rounds", "1"] if quick else []
    return {
        "cli": ["bench_cli.py", *rounds],
        "models": ["bench_models.py", "--models", "500", *rounds, *with_peers],
        "turns": ["bench_models.py", "--models", "500", "--turns", *rounds, *with_peers],
        "models2000": ["bench_models.py", "--models", "2000", "--rounds", "1"],
        "tpch": ["bench_tpch.py", *(["--scale", "0.1"] if quick else []), *rounds],
        "postgres": ["bench_postgres.py", *(["--rows", "600000"] if quick else []), *rounds, *with_peers],
        "checks": ["bench_checks.py"],
        "lineage": ["bench_lineage.py"],
        "doors": ["bench_doors.py", *(["--rows", "100000"] if quick else []), *rounds],
        "wire": ["bench_wire.py", *(["--rows", "100000", "--seconds", "2"] if quick else []), *rounds],
        "tokens": ["bench_tokens.py", *(["--rows", "500000", "--distinct", "100000"] if quick else []), *rounds],
        "gate": ["bench_gate.py", *(["--rows", "1000000"] if quick else []), *rounds],
        "crash": ["bench_crash.py", *(["--rounds", "20"] if quick else [])],
    }


def record(name: str, text: str) -> None:
    """Puts a section between its markers in results.md."""
    old = RESULTS.read_text() if RESULTS.exists() else HEAD
    section = f"<!-- {name} -->\n{text.strip()}\n\n_{measure.machine()}_\n<!-- end {name} -->\n"
    pattern = re.compile(rf"<!-- {name} -->\n.*?<!-- end {name} -->\n", re.DOTALL)
    RESULTS.write_text(pattern.sub(lambda _: section, old) if pattern.search(old) else f"{old}\n{section}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--quick", action="store_true", help="smaller data and one round: shows that it runs, not how fast")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    peers = None if arguments.no_peers or set(arguments.names) == {"crash"} else install_peers()
    everything = commands(arguments.quick, peers)
    failed = []
    for name in arguments.names or [name for name in everything if name != "crash"]:
        print(f"== {name}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, str(measure.HERE / everything[name][0]), *everything[name][1:]], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            failed.append(name)
            continue
        print(done.stdout, flush=True)
        if not arguments.quick:
            record(name, done.stdout)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
