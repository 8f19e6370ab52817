"""How long commands take before they do anything: `--help`, `status` on a project of many models.

python benchmarks/bench_cli.py [--models 500] [--rounds 7]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import bench_models
import measure


def benchmark(models: int, rounds: int) -> str:
    with tempfile.TemporaryDirectory(prefix="headwater-cli-") as temp:
        folder = Path(temp)
        project = folder / "project"
        bench_models.make_project(project, models, bench_models.make_source(folder))
        measure.run([measure.headwater(), "run"], cwd=project)
        costs = measure.interleaved(
            rounds,
            {
                "python -c pass": lambda: measure.run([sys.executable, "-c", "pass"]),
                "headwater --help (target 0.3 s)": lambda: measure.run([measure.headwater(), "--help"], cwd=project),
                f"headwater status, {models} models (target 1 s)": lambda: measure.run([measure.headwater(), "status"], cwd=project, ok=(0, 1)),
                f"headwater ls, {models} models": lambda: measure.run([measure.headwater(), "ls"], cwd=project),
            },
        )
    return f"### The command itself (medians of {rounds})\n\n" + measure.table(
        ("", "wall s", "cpu s", "peak MiB"), [(name, cost.wall, cost.cpu, round(cost.peak_mib)) for name, cost in costs.items()]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(benchmark(arguments.models, arguments.rounds))
