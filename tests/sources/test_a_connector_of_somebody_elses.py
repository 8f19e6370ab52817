"""The package that docs/connectors.md shows is installed, found by its entry point, loaded from, and passes the contract suite."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "connectors.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files in it, and what an installer would write beside them."""
    folder = tmp_path_factory.mktemp("site")
    for block in re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        name = re.match(r"# ([\w./]+)\n", block)
        if name and "/" not in name[1]:
            (folder / name[1]).write_text(block)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "headwater_plist-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["headwater.connectors"]
    (info / "entry_points.txt").write_text("[headwater.connectors]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()))
    return folder


def run(package: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run([sys.executable, *arguments], cwd=package, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_by_its_entry_point_and_read(package: Path) -> None:
    script = """
import plistlib
from pathlib import Path
from headwater.sources import ReadRequest, connector_types, open_connector
from headwater.spec.sources import Source
from headwater.testing import read_rows
Path("a.plist").write_bytes(plistlib.dumps({"t": [{"x": 1}]}))
source = Source.model_validate({"name": "s", "type": "plist", "connection": "${env:FILE}", "streams": {"t": {"table": "t"}}})
connector = open_connector(source, project_dir=Path(), environ={"FILE": "a.plist"})
print(connector_types()["plist"], read_rows(connector.read(ReadRequest("t", source.streams["t"]))), connector.check())
"""
    assert run(package, "-c", script).strip() == "headwater_plist:PlistConnector [{'x': 1}] property list of 1 streams"


def test_it_passes_the_contract_suite(package: Path) -> None:
    output = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_headwater_plist.py")
    assert re.search(r"\b2\d passed", output), output
