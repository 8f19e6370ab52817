"""The long rounds of the crash suite, and their figures: kills at commit boundaries and at random instants, each compared with the source.

python benchmarks/bench_crash.py [--rounds 300]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys

import measure


def rounds(count: int) -> str:
    environment = {**os.environ, "HEADWATER_STRESS_ROUNDS": str(count)}
    command = [sys.executable, "-m", "pytest", "-m", "stress", "--timeout", "7200", "tests/crash"]
    done = subprocess.run(command, cwd=measure.ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    sys.stderr.write(done.stdout)
    if done.returncode:
        sys.exit(done.returncode)
    lines = re.findall(r"^crash suite, (.*)$", done.stdout, re.MULTILINE)
    return "### Killed and gone on: the long rounds of the crash suite\n\n" + "\n".join(f"- {line}" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    print(rounds(parser.parse_args().rounds))
