"""Many small models (chains and joins over a small table): first run, rebuild, no change, one change; beside bare DuckDB, dbt-duckdb and SQLMesh.

    python benchmarks/bench_models.py [--models 500] [--rounds 3] [--peers PYTHON]

`--peers` is the interpreter of a virtual environment with dbt-duckdb and sqlmesh (see `run.py`); without it the peers are left out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure

ROWS = 200
#: With a commit a table the bare statements take time by the square of the tables (three minutes for 500): of more they aren't measured so.
MOST_COMMITS = 500


def _inputs(number: int) -> list[int]:
    """Which earlier models model `number` reads: none (it reads the source), one (a chain), or two (a join)."""
    if number % 25 == 0:
        return []
    if number % 5 == 4:
        return [number - 1, number - 4]
    return [number - 1]


def query(number: int, name: Callable[[int], str], source: str) -> str:
    """The SQL of one model, given how models and the source are called."""
    inputs = _inputs(number)
    if not inputs:
        return f"SELECT id, grp, amount * {number + 1} AS amount FROM {source}"
    if len(inputs) == 1:
        return f"SELECT id, grp, amount + {number} AS amount FROM {name(inputs[0])} WHERE id % 97 <> {number % 97}"
    return f"SELECT l.id, l.grp, l.amount + r.amount AS amount FROM {name(inputs[0])} l JOIN {name(inputs[1])} r ON r.id = l.id"


def make_source(folder: Path) -> Path:
    path = folder / "items.csv"
    path.write_text("id,grp,amount\n" + "".join(f"{i},{i % 7},{i * 3}\n" for i in range(ROWS)))
    return path


def make_project(folder: Path, count: int, source: Path) -> None:
    (folder / "sources").mkdir(parents=True)
    (folder / "models" / "m").mkdir(parents=True)
    (folder / "headwater.yaml").write_text("name: many\n")
    (folder / "sources" / "raw.yaml").write_text(
        f"type: files\nstreams:\n  items:\n    path: {source}\n    columns: {{id: bigint, grp: bigint, amount: bigint}}\n"
    )
    for number in range(count):
        (folder / "models" / "m" / f"m{number:04}.sql").write_text(query(number, lambda n: f"m.m{n:04}", "raw.items") + "\n")


def make_dbt(folder: Path, count: int, source: Path) -> None:
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: many\nversion: 1.0.0\nprofile: many\nmodels: {many: {+materialized: table}}\n")
    (folder / "profiles.yml").write_text(f"many: {{target: dev, outputs: {{dev: {{type: duckdb, path: '{folder}/many.duckdb', threads: 2}}}}}}\n")
    for number in range(count):
        text = query(number, lambda n: f"{{{{ ref('m{n:04}') }}}}", f"read_csv('{source}')")
        (folder / "models" / f"m{number:04}.sql").write_text(text + "\n")


def make_sqlmesh(folder: Path, count: int, source: Path) -> None:
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        f"gateways: {{local: {{connection: {{type: duckdb, database: '{folder}/many.duckdb'}}}}}}\ndefault_gateway: local\n"
        "model_defaults: {dialect: duckdb, start: '2024-01-01'}\ndisable_anonymized_analytics: true\n"
    )
    for number in range(count):
        text = query(number, lambda n: f"m.m{n:04}", f"read_csv('{source}')")
        (folder / "models" / f"m{number:04}.sql").write_text(f"MODEL (name m.m{number:04}, kind FULL);\n{text}\n")


def bare_plan(folder: Path, count: int, source: Path, mode: str, transaction: bool) -> Path:
    tables = [["m", f"m{n:04}", query(n, lambda k: f"lake.m.m{k:04}", "items")] for n in range(count)]
    plan = folder / f"{mode}.json"
    setup = [f"CREATE TEMP TABLE items AS FROM read_csv('{source}')"]
    plan.write_text(
        json.dumps(
            {
                "catalog": str(folder / "l.sqlite"),
                "data": str(folder / "data"),
                "mode": mode,
                "transaction": transaction,
                "setup": setup,
                "tables": tables,
            }
        )
    )
    return plan


def bare_costs(folder: Path, count: int, source: Path, transaction: bool) -> dict[str, measure.Cost]:
    """First run and rebuild; the latter takes time by the square of the tables (24 s of CPU for 500)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    script = str(measure.HERE / "bare.py")
    costs = {"first run": measure.run([sys.executable, script, str(bare_plan(folder, count, source, "ctas", transaction))])}
    costs["rebuild"] = measure.run([sys.executable, script, str(bare_plan(folder, count, source, "rebuild", transaction))])
    return costs


def change_one(path: Path) -> None:
    path.write_text(path.read_text().replace("SELECT", "SELECT /* changed */ 1 AS one,", 1))


def our_costs(folder: Path, count: int, source: Path) -> dict[str, measure.Cost]:
    shutil.rmtree(folder, ignore_errors=True)
    make_project(folder, count, source)
    command = measure.headwater()
    costs = {"first run": measure.run([command, "run"], cwd=folder)}
    costs["rebuild"] = measure.run([command, "run", "--full-refresh"], cwd=folder)
    costs["no change"] = measure.run([command, "run"], cwd=folder)
    change_one(folder / "models" / "m" / f"m{_one_with_101(count):04}.sql")
    costs["one changed"] = measure.run([command, "run"], cwd=folder)
    return costs


def _one_with_101(count: int) -> int:
    return (count // 25) * 25 - 13


def dbt_costs(python: Path, folder: Path, count: int, source: Path) -> dict[str, measure.Cost]:
    shutil.rmtree(folder, ignore_errors=True)
    make_dbt(folder, count, source)
    command = [str(python.parent / "dbt"), "run", "--profiles-dir", str(folder), "--project-dir", str(folder), "--quiet"]
    quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    costs = {"first run": measure.run(command, cwd=folder, env=quiet)}
    state = folder / "state"
    shutil.copytree(folder / "target", state)
    changed = [*command, "--select", "state:modified+", "--state", str(state)]
    costs["no change"] = measure.run(command, cwd=folder, env=quiet)
    costs["no change, told where its last state is"] = measure.run(changed, cwd=folder, env=quiet, ok=(0, 1, 2))
    change_one(folder / "models" / f"m{_one_with_101(count):04}.sql")
    costs["one changed"] = measure.run(changed, cwd=folder, env=quiet)
    return costs


def sqlmesh_costs(python: Path, folder: Path, count: int, source: Path) -> dict[str, measure.Cost]:
    shutil.rmtree(folder, ignore_errors=True)
    make_sqlmesh(folder, count, source)
    command = [str(python.parent / "sqlmesh"), "-p", str(folder), "plan", "--auto-apply", "--no-prompts"]
    quiet = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true", "DO_NOT_TRACK": "1"}
    costs = {"first run": measure.run(command, cwd=folder, env=quiet), "no change": measure.run(command, cwd=folder, env=quiet)}
    change_one(folder / "models" / f"m{_one_with_101(count):04}.sql")
    costs["one changed"] = measure.run(command, cwd=folder, env=quiet)
    return costs


def benchmark(count: int, rounds: int, peers: Path | None) -> str:
    """Markdown: one table with all of it. Peers run once (they take minutes)."""
    rows: list[tuple[object, ...]] = []
    with tempfile.TemporaryDirectory(prefix="headwater-models-") as temp:
        folder = Path(temp)
        source = make_source(folder)
        start = measure.median([measure.run([measure.headwater(), "version"]) for _ in range(3)])
        floors, ours = [], []
        for _ in range(rounds):
            floors.append(bare_costs(folder / "bare", count, source, transaction=True))
            ours.append(our_costs(folder / "ours", count, source))
        floor = {phase: measure.median([cost[phase] for cost in floors]) for phase in floors[0]}
        mine = {phase: measure.median([cost[phase] for cost in ours]) for phase in ours[0]}
        for phase, cost in floor.items():
            rows.append((f"bare, one transaction: {phase}", cost.wall, cost.cpu, "", ""))
        if count <= MOST_COMMITS:
            for phase, cost in bare_costs(folder / "bare", count, source, transaction=False).items():
                rows.append((f"bare, a commit a table: {phase}", cost.wall, cost.cpu, "", ""))
        for phase, cost in mine.items():
            ratio = (cost.wall / floor[phase].wall, cost.cpu / floor[phase].cpu) if phase in floor else ("", "")
            rows.append((f"Headwater: {phase}", cost.wall, cost.cpu, *ratio))
        rows.append(("Headwater: no change, beyond start", mine["no change"].wall - start.wall, mine["no change"].cpu - start.cpu, "", ""))
        if peers is not None:
            for label, costs_of in (("dbt-duckdb", dbt_costs), ("SQLMesh", sqlmesh_costs)):
                try:
                    costs = costs_of(peers, folder / label, count, source)
                except (measure.Failed, OSError) as error:
                    rows.append((f"{label}: failed ({str(error).splitlines()[0][:80]})", "", "", "", ""))
                    continue
                for phase, cost in costs.items():
                    own = mine[phase.partition(",")[0]]
                    rows.append((f"{label}: {phase} (x of ours)", cost.wall, cost.cpu, cost.wall / own.wall, cost.cpu / own.cpu))
    measured = f"medians of {rounds}" if rounds > 1 else "one round"
    title = f"### {count:,} small models ({measured}{'; peers once' if peers else ''})\n\n"
    note = "\n\nRatios: Headwater's to the bare statements in one transaction (target 2)."
    if peers is not None:
        note += (
            " A peer's: to Headwater's (targets 4 full, 10 no change). `dbt run` builds everything again;"
            " told where the artifacts of its last run are, it selects `state:modified+`."
        )
    return title + measure.table(("", "wall s", "cpu s", "wall ratio", "cpu ratio"), rows) + note


def turns(count: int, rounds: int, peers: Path | None) -> str:
    """Markdown: first runs, and runs that find nothing to do, ours and SQLMesh's in turns: a machine's speed changes from minute to minute."""
    quiet = {"SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true", "DO_NOT_TRACK": "1"}
    found: dict[str, list[measure.Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="headwater-models-") as temp:
        folder = Path(temp)
        source = make_source(folder)
        commands = {"Headwater": [measure.headwater(), "run"]}
        if peers is not None:
            commands["SQLMesh"] = [str(peers.parent / "sqlmesh"), "plan", "--auto-apply", "--no-prompts"]
        for _ in range(rounds):
            for name in commands:
                shutil.rmtree(folder / name, ignore_errors=True)
                (make_project if name == "Headwater" else make_sqlmesh)(folder / name, count, source)
            for phase in ("first run", "no change", "no change"):
                for name, command in commands.items():
                    found.setdefault(f"{name}: {phase}", []).append(measure.run(command, cwd=folder / name, env=quiet))
    costs = {name: measure.median(several) for name, several in sorted(found.items())}
    rows = []
    for name, cost in costs.items():
        own = costs[f"Headwater:{name.partition(':')[2]}"]
        rows.append((name, cost.wall, cost.cpu, cost.wall / own.wall, cost.cpu / own.cpu))
    title = f"### {count:,} small models, in turns with SQLMesh (medians of {rounds} rounds)\n\n"
    note = "\n\nA round is one first run and two that find nothing to do. Targets: 4 and 10 times our CPU."
    return title + measure.table(("", "wall s", "cpu s", "wall, x of ours", "cpu, x of ours"), rows) + note


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--turns", action="store_true", help="first runs and runs without a change, ours and SQLMesh's in turns")
    arguments = parser.parse_args()
    print((turns if arguments.turns else benchmark)(arguments.models, arguments.rounds, arguments.peers))
