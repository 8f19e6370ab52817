"""A process that has everything imported and forks a child for each job, so that a crash costs no imports.

One JSON request a line on stdin, one answer a line on stdout: `start` forks a child and gives its pid, `wait` gives how it ended and what it
told. Children are killed from outside, or kill themselves at a boundary (HEADWATER_KILL_AT).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pyarrow  # noqa: F401 -- only so that children needn't import it
import stamina
from checking import check_everything, check_published
from shop import Shop

from headwater.errors import HeadwaterError
from headwater.orchestration import RunOptions, execute, open_session
from headwater.project import load_project


def _run(job: dict[str, Any]) -> dict[str, Any]:
    ahead = timedelta(seconds=job.get("clock_ahead", 0))
    project = load_project(Path(job["directory"]))
    with open_session(project, clock=lambda: datetime.now(UTC) + ahead) as session:
        options = RunOptions(
            include=tuple(job.get("include", ())),
            threads=2,
            flush_seconds=job.get("flush_seconds", 5.0),
            is_full_refresh=job.get("is_full_refresh", False),
        )
        summary = execute(session, options)
    tasks = {str(task.table): [task.status, task.error_code, task.error_text or task.reason] for task in summary.tasks}
    return {"status": summary.status, "exit_code": summary.exit_code, "tasks": tasks}


def _check(job: dict[str, Any]) -> dict[str, Any]:
    with open_session(load_project(Path(job["directory"]))) as session:
        if "rounds" not in job:
            waiting = [str(table) for table, state in session.lake.state().tables.items() if state.publication == "waiting"]
            return {"wrong": check_published(session), "waiting": waiting}
        return {"wrong": check_everything(session, Shop(Path(job["directory"]), seed=job["seed"], rounds=job["rounds"]))}


def _child(job: dict[str, Any], output: int) -> None:
    os.environ.update(job.get("environ", {}))
    if "file_size_limit" in job:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_size_limit"], job["file_size_limit"]))
    stamina.set_testing(True, attempts=3, cap=True)
    try:
        answer = _run(job) if job["do"] == "run" else _check(job)
    except HeadwaterError as error:
        answer = {"error": error.code, "text": str(error)}
    except Exception:  # the test tells the traceback
        answer = {"error": "bug", "text": traceback.format_exc()}
    with os.fdopen(output, "w") as pipe:
        json.dump(answer, pipe)


def main() -> None:
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reading)
                _child(request["start"], writing)
                sys.stderr.flush()
                os._exit(0)
            os.close(writing)
            pipes[pid] = reading
            answer: dict[str, Any] = {"pid": pid}
        else:
            pid = request["wait"]
            with os.fdopen(pipes.pop(pid)) as pipe:
                text = pipe.read()
            _, status = os.waitpid(pid, 0)
            answer = {"killed": os.WIFSIGNALED(status), **(json.loads(text) if text else {})}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
