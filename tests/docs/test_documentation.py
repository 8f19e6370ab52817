"""The documentation is true: every command, setting and error code stands in it, its links lead somewhere, its examples run."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from headwater import errors
from headwater.spec import exports, models, policies, sources
from headwater.spec.checks import CHECK_TYPES
from headwater.spec.project import (
    AgeConfig,
    EnvironmentConfig,
    KeysConfig,
    LakeConfig,
    OidcConfig,
    PasswordConfig,
    ProjectConfig,
    SecretsConfig,
    SecurityConfig,
    ServeConfig,
    ServeLimits,
    VaultConfig,
)
from headwater.spec.sources import Cursor, Parallel, SchemaContract, Source, Stream, StreamColumn

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

#: Fields that no file writes: the loader sets them, or they stand in a model's code.
_NOT_WRITTEN = {
    Source: {"path"},
    policies.Grant: {"action", "on"},
    policies.Deny: {"action", "on"},
    exports.Export: {"name", "path", "options", "former_columns"},
}
_SETTINGS: list[type[BaseModel]] = [
    ProjectConfig,
    LakeConfig,
    EnvironmentConfig,
    SecurityConfig,
    PasswordConfig,
    OidcConfig,
    KeysConfig,
    SecretsConfig,
    VaultConfig,
    AgeConfig,
    ServeConfig,
    ServeLimits,
    Source,
    Stream,
    StreamColumn,
    Cursor,
    Parallel,
    SchemaContract,
    models.ModelHeader,
    models.ModelColumn,
    models.IncrementalKind,
    models.SnapshotKind,
    policies.PolicyFile,
    policies.Role,
    policies.Grant,
    policies.Group,
    policies.Deny,
    policies.Declassifier,
    policies.Limits,
    policies.Network,
    exports.ExportFile,
    exports.Export,
    *exports.TARGETS.values(),
    *CHECK_TYPES.values(),
]


def _error_classes() -> list[type[errors.HeadwaterError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HeadwaterError)]


@pytest.mark.parametrize("kind", _SETTINGS, ids=lambda kind: kind.__name__)
def test_every_setting_is_documented(kind: type[BaseModel]) -> None:
    page = (DOCS / "settings.md").read_text()
    names = {field.alias or name for name, field in kind.model_fields.items()} - _NOT_WRITTEN.get(kind, set()) - {"type"}
    missing = sorted(name for name in names if f"`{name}`" not in page)
    assert not missing


@pytest.mark.parametrize("name", [*CHECK_TYPES, "view", "table", "incremental", "snapshot", "append", "merge", "replace", "scd2"])
def test_every_check_kind_and_disposition_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "settings.md").read_text()


@pytest.mark.parametrize("kind", _error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_is_documented_with_its_code_and_whether_a_retry_helps(kind: type[errors.HeadwaterError]) -> None:
    page = (DOCS / "errors.md").read_text()
    assert f"| `{kind.code}` | `{kind.__name__}` | {kind.retry} |" in page


def test_every_error_code_is_used_once_and_stands_in_the_tree() -> None:
    codes = [kind.code for kind in _error_classes()]
    assert len(codes) == len(set(codes))
    tree = errors.__doc__ or ""
    for kind in _error_classes():
        assert re.search(rf"\b{kind.__name__} +{kind.code}\b", tree), kind


def test_the_errors_page_names_no_code_that_does_not_exist() -> None:
    known = {kind.code for kind in _error_classes()}
    assert set(re.findall(r"`(HW-[A-Z]?\d+)`", (DOCS / "errors.md").read_text())) == known


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    made = subprocess.run([sys.executable, DOCS / "make_commands.py", "--print"], capture_output=True, text=True, check=True).stdout
    assert (DOCS / "commands.md").read_text() == made, "run: python docs/make_commands.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            anchors = {
                re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in file.read_text().splitlines() if line.startswith("#")
            }
            assert anchor in anchors, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_in_the_pages_can_be_read(page: Path) -> None:
    for block in re.findall(r"```ya?ml\n(.*?)```", page.read_text(), re.DOTALL):
        yaml.safe_load(block)


def _runnable() -> list[tuple[str, str, str]]:
    """Blocks that come after a line `<!-- run -->`: (page, language, text)."""
    found = []
    for page in PAGES:
        for language, block in re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", page.read_text(), re.DOTALL):
            found.append((str(page.relative_to(ROOT)), language, block))
    return found


@pytest.mark.parametrize(("page", "language", "block"), _runnable(), ids=lambda value: value if value.endswith(".md") else "")
def test_examples_in_the_pages_run(page: str, language: str, block: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    program = {"sh": ["sh", "-eu", "-c", block], "python": [sys.executable, "-c", block]}[language]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{page}:\n{block}\n{done.stdout}\n{done.stderr}"


def test_there_are_runnable_examples() -> None:
    assert len(_runnable()) >= 3


def test_no_package_index_is_named_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"https?://[^ \"]*(/simple/|pythonhosted|registry\.)")
    for name in listed:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        assert not pattern.search(path.read_text(errors="replace")), name


def test_every_stream_option_is_checked() -> None:
    """`_SETTINGS` names every resource of the modules it speaks for, so that a new one can't go undocumented."""
    resources = {
        kind for module in (sources, models, policies) for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, BaseModel)
    }
    left_out = {
        kind.__name__ for kind in resources if kind.__module__ in (sources.__name__, models.__name__, policies.__name__) and kind not in _SETTINGS
    }
    assert left_out == {"ViewKind", "TableKind", "Model", "Mask", "TablePattern", "LabelPattern", "Policies"}
