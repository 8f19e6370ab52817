"""A project as loaded: its definitions, the graph, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headwater.errors import Location, Problem, UnknownSelection
from headwater.project.fingerprints import Fingerprints, definition_hash, macros_used
from headwater.project.graph import Graph
from headwater.project.links import former_name
from headwater.project.macros import Macro
from headwater.project.models import CodeFacts
from headwater.project.policies import ReadPolicies
from headwater.project.problems import nearest, nearest_table
from headwater.project.variables import VarValue
from headwater.spec.exports import Export
from headwater.spec.models import Model, ViewKind
from headwater.spec.names import TableName
from headwater.spec.policies import Policies
from headwater.spec.project import ProjectConfig
from headwater.spec.sources import Source, Stream
from headwater.spec.unit_tests import UnitTest

#: Functions whose result differs from call to call: a model that uses one is always stale.
RANDOM_FUNCTIONS = frozenset({"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval", "tablesample", "reservoir_quantile"})


@dataclass(frozen=True)
class LoadedProject:
    """All that the project's files say, consistent: every name in it resolves. Immutable.

    `config` has the environment merged in; `environ` is the process's environment over `.env`, for resolving references. `macros` are the
    CREATE MACRO statements that need no tables, in an order they can be created in. `policies` are those of all files together. `warnings`
    are what is doubtful; errors were raised by the load.
    """

    directory: Path
    config: ProjectConfig
    environment: str
    vars: Mapping[str, VarValue]
    environ: Mapping[str, str] = field(repr=False)
    sources: Mapping[str, Source]
    models: Mapping[TableName, Model]
    macros: tuple[str, ...]
    unit_tests: tuple[UnitTest, ...]
    warnings: tuple[Problem, ...]
    graph: Graph
    facts: Mapping[TableName, CodeFacts] = field(repr=False)
    macro_definitions: Mapping[str, Macro] = field(repr=False)
    policies: Policies = field(default_factory=Policies)
    exports: Mapping[str, Export] = field(default_factory=dict)
    #: Where a part of the policies is written, by its path in them: ("masks", "pii"), or ("deny", 0, "columns"); with True, its key.
    policy_place: Callable[..., Location] = field(default=ReadPolicies().place, repr=False, compare=False)

    def __post_init__(self) -> None:
        fingerprints = Fingerprints(self.graph, self.sources, self.models, self.facts, self.macro_definitions, self.config.timezone)
        object.__setattr__(self, "_fingerprints", fingerprints)

    _fingerprints: Fingerprints = field(init=False, repr=False, compare=False)

    def model(self, name: TableName | str) -> Model:
        """The model of that name, in any case. Raises UnknownSelection."""
        table = self.find(name)
        if table not in self.models:
            raise UnknownSelection(f"{table} is a stream, not a model", hint="streams are loaded; show them with headwater query")
        return self.models[table]

    def stream(self, name: TableName | str) -> tuple[Source, str, Stream]:
        """The stream loaded into that table: its source, its name there, itself. Raises UnknownSelection."""
        table = self.find(name)
        node = self.graph.nodes[table]
        if node.kind != "stream":
            raise UnknownSelection(f"{table} is a model, not a stream")
        source = self.sources[node.source]
        return source, table.name, source.streams[table.name]

    @property
    def hot_tables(self) -> frozenset[TableName]:
        """Those whose published rows servers keep in memory."""
        streams = {source.table_name(name) for source in self.sources.values() for name, stream in source.streams.items() if stream.hot}
        return frozenset({name for name, model in self.models.items() if model.hot} | streams)

    def find(self, name: TableName | str) -> TableName:
        """The table's name as the project writes it. Raises UnknownSelection with the nearest valid name."""
        found: TableName | None = None
        try:
            found = self.graph.find(TableName.parse(name) if isinstance(name, str) else name)
        except ValueError:
            found = None
        if found is None:
            guess = nearest_table(str(name), self.graph.nodes)
            raise UnknownSelection(
                f"there is no table {name} in this project", hint=f"did you mean {guess}?" if guess else "headwater ls shows all tables"
            )
        return found

    def export(self, name: str) -> Export:
        """The export of that name, in any case. Raises UnknownSelection with the nearest valid name."""
        found = next((export for export in self.exports.values() if export.name.lower() == name.removeprefix("export:").lower()), None)
        if found is None:
            guess = nearest(name, self.exports)
            raise UnknownSelection(f"there is no export {name!r}", hint=f"did you mean {guess}?" if guess else "headwater export list shows them")
        return found

    @property
    def export_tables(self) -> dict[str, TableName]:
        """The exports by name, each with the table it sends, in order."""
        return {name: self.find(export.table_name) for name, export in sorted(self.exports.items())}

    def fingerprint(self, table: TableName) -> str:
        """What makes the table's rows, as a hash: when it differs from the deployed one, the table is stale. Descriptions and checks don't count."""
        return self._fingerprints.of(table)

    def definition_hash(self, table: TableName) -> str:
        """A hash of the rest: checks, descriptions, labels, owner, tags, publish group. When only this differs, no row needs to change."""
        return definition_hash(self.models[table] if table in self.models else self.stream(table)[2])

    def functions(self, table: TableName) -> frozenset[str]:
        """Names (lower case) of the functions a model's SQL calls, itself, through macros, and through the view models it reads."""
        names: set[str] = set()
        seen: set[TableName] = set()
        pending = [table]
        while pending:
            current = pending.pop()
            if current in seen or current not in self.models:
                continue
            seen.add(current)
            names |= self.facts[current].functions
            pending.extend(other for other in self.graph.inputs(current) if other in self.models and isinstance(self.models[other].kind, ViewKind))
        for macro in macros_used(names, self.macro_definitions):
            names |= self.macro_definitions[macro].functions
        return frozenset(names)

    def is_always_stale(self, table: TableName) -> bool:
        """Whether the model draws at random: no two builds of it are alike."""
        return bool(self.functions(table) & RANDOM_FUNCTIONS)

    def table_macros(self, table: TableName) -> tuple[str, ...]:
        """CREATE MACRO statements of those macros a model uses that read tables, in order: create them once the model's inputs are there."""
        used = macros_used(self.functions(table), self.macro_definitions)
        return tuple(macro.sql for name, macro in self.macro_definitions.items() if name in used and macro.needs_tables)

    def former_name(self, table: TableName) -> TableName | None:
        """The table this one is the heir of (`renamed_from:`); None without one."""
        resource: Model | Stream = self.models[table] if table in self.models else self.stream(table)[2]
        return former_name(table, resource.renamed_from) if resource.renamed_from else None
