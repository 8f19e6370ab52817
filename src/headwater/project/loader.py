"""Files to a loaded project. All mistakes of all files are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from headwater.engine import parse_ahead
from headwater.errors import DefinitionErrors, Location, UsageError
from headwater.project import sqltext
from headwater.project.cache import FileCache
from headwater.project.config import CONFIG_FILE, Settings, load_settings
from headwater.project.declared import check_declared, unknown_vars
from headwater.project.documents import Document, read_document
from headwater.project.exports import check_exports, read_exports
from headwater.project.files import ProjectFile, check_schema_name, check_table_name, read_files, walk
from headwater.project.links import Defined, Linker, build_graph, check_cycles, check_unique, check_views, place_of_check
from headwater.project.loaded import LoadedProject
from headwater.project.macros import Macro, read_macros
from headwater.project.models import ReadModel, Sidecar, SqlFile, open_sql_model, place_of_table, read_sidecars, read_sql_model, table_of
from headwater.project.policies import check_policies, read_policies
from headwater.project.problems import Report, nearest
from headwater.project.resources import place_in
from headwater.project.sources import read_source
from headwater.project.unit_tests import ReadTest, check_unit_tests, read_unit_tests
from headwater.project.variables import VarValue, vars_named
from headwater.spec.checks import Check, Expression, Query, Relationships
from headwater.spec.models import Model
from headwater.spec.names import TableName
from headwater.spec.sources import Source, Stream

#: Folders whose meaning comes with later versions.
_RESERVED_FOLDERS = ("schedules", "alerts")
_YAML = (".yaml", ".yml")


def load_project(directory: Path, *, environment: str | None = None, vars: Mapping[str, VarValue] | None = None) -> LoadedProject:
    """Reads a project's files and derives its graph.

    `environment` chooses one of `environments:` (default: `default_environment`, else `local`); `vars` override those of the files. Imports the
    project's Python models. Touches neither lake nor sources; keeps a cache of parsed files in `.headwater/cache`.
    Raises ProjectNotFound, UsageError (no such environment or var), DefinitionErrors with every problem there is.
    """
    directory = directory.absolute()
    report = Report()
    settings = load_settings(directory, report, environment=environment, vars=vars)
    unknown = unknown_vars(vars or {}, settings.config.vars, _vars_used(directory))
    if unknown:
        guess = nearest(unknown[0], settings.config.vars)
        raise UsageError(
            f"there is no var {unknown[0]!r}",
            expected=f"one of {', '.join(settings.config.vars)}" if settings.config.vars else f"vars defined under `vars:` in {CONFIG_FILE}",
            hint=f"did you mean {guess}?" if guess else f"define it under `vars:` in {CONFIG_FILE}",
        )
    loader = _Loader(directory, settings, report)
    project = loader.load()
    problems = report.errors
    if problems or project is None:
        raise DefinitionErrors(problems)
    return project


class _Loader:
    def __init__(self, directory: Path, settings: Settings, report: Report) -> None:
        self._directory = directory
        self._settings = settings
        self._report = report
        self._cache = FileCache(directory, settings.environment)
        self._texts: dict[str, str] = {}
        self._source_documents: dict[str, Document] = {}
        self._sidecars: dict[TableName, Sidecar] = {}
        self._defined: list[Defined] = []

    def load(self) -> LoadedProject | None:
        """The project; None when something is so wrong that there is no graph."""
        sources = self._read_sources()
        macros = self._read_macros()
        reads = self._read_models()
        check_unique(self._defined, self._report)
        tests = self._read_tests()
        models = {table: read.model for table, read in reads.items()}
        # names are looked up among all files, also those with mistakes of their own: one mistake must not look like many
        known = [one.table for one in self._defined]
        linker = Linker(known, self._report)
        inputs = {table: linker.inputs(read, macros, self._place_of_table) for table, read in reads.items()}
        linker.check_macros(macros)
        self._check_resources(linker, sources, models)
        graph = build_graph(sources, models, inputs)
        check_cycles(graph, models, self._place_of_table, self._report)
        check_views(reads, self._report)
        unit_tests = check_unit_tests(tests, graph, known, self._report)
        policies = read_policies(read_files(self._directory, "policies", _YAML, self._report), self._settings.vars, self._report)
        check_policies(policies, self._defined, _labels_given(sources, models), linker, self._report)
        exports = read_exports(read_files(self._directory, "exports", _YAML, self._report), self._settings.vars, known, self._report)
        check_exports(exports, policies.policies, self._report)
        self._note_reserved_folders()
        if self._report.errors:
            return None
        self._cache.save()
        return LoadedProject(
            directory=self._directory,
            config=self._settings.config,
            environment=self._settings.environment,
            vars=self._settings.vars,
            environ=self._settings.environ,
            sources=sources,
            models={table: models[table] for table in graph.order() if table in models},
            macros=tuple(macro.sql for macro in macros.values() if not macro.needs_tables),
            unit_tests=unit_tests,
            warnings=tuple(self._report.others),
            graph=graph,
            facts={table: read.facts for table, read in reads.items()},
            macro_definitions=macros,
            policies=policies.policies,
            exports=exports,
            policy_place=policies.place,
        )

    # -- reading -------------------------------------------------------------------------------------------------

    def _read_sources(self) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        for file in read_files(self._directory, "sources", _YAML, self._report):
            read = read_source(file, self._settings.vars, self._report) if file.is_readable else None
            if read is None:
                self._define_anyway(file)
                continue
            source, document = read
            other = next((one for one in sources.values() if one.name.lower() == source.name.lower()), None)
            if other is not None:
                self._report.add(
                    "duplicate-source",
                    f"the source {source.name} is defined in {other.path} too",
                    document.locate(["name"]),
                    expected="one file a source",
                )
                continue
            sources[source.name] = source
            self._source_documents[source.name] = document
            for name in source.streams:
                self._defined.append(Defined(source.table_name(name), "stream", document.locate(["streams", name], True)))
        return sources

    def _read_tests(self) -> list[ReadTest]:
        files = read_files(self._directory, "tests", _YAML, self._report)
        return [test for file in files if file.is_readable for test in read_unit_tests(file, self._settings.vars, self._report)]

    def _define_anyway(self, file: ProjectFile) -> None:
        """The streams of a file with mistakes, as far as it can be read: what reads them is not to blame."""
        document = read_document(file.text, file.path, Report())
        if document is None or not isinstance(document.value, dict):
            return
        streams = document.value.get("streams")
        name = document.value.get("name") or file.stem
        for stream in streams if isinstance(streams, dict) and isinstance(name, str) else ():
            self._defined.append(Defined(TableName(name, stream), "stream", document.locate(["streams", stream], True)))

    def _read_macros(self) -> dict[str, Macro]:
        files = [file for file in read_files(self._directory, "macros", (".sql",), self._report) if file.is_readable]
        return {macro.name: macro for macro in read_macros(files, self._settings.vars, self._report, self._cache)}

    def _read_models(self) -> dict[TableName, ReadModel]:
        sql_files: list[tuple[ProjectFile, TableName]] = []
        python_files: list[tuple[ProjectFile, TableName]] = []
        for file in read_files(self._directory, "models", (".sql", ".py", *_YAML), self._report):
            if file.path.endswith(_YAML):
                if file.is_readable:
                    self._read_sidecar(file)
            elif file.path.endswith(".py") and file.stem.startswith("_"):
                continue
            else:
                table = table_of(file, self._report)
                if table is not None and not file.is_readable:
                    self._define(table, Location(file.path))
                elif table is not None:
                    (sql_files if file.path.endswith(".sql") else python_files).append((file, table))
        reads: dict[TableName, ReadModel] = {}
        used: set[TableName] = set()
        opened: list[SqlFile] = []
        for file, table in sql_files:
            self._texts[file.path] = file.text
            used.add(table)
            self._define(table, Location(file.path))
            one = open_sql_model(file, table, self._settings.vars, self._report, self._cache)
            if one is not None:
                opened.append(one)
        parse_ahead(one.entry["sql"] for one in opened if one.unparsed is not None)
        for one in opened:
            read = read_sql_model(one, self._sidecars.get(one.table), self._report, self._cache)
            if read is not None:
                reads.setdefault(one.table, read)
        reads.update(self._read_python(python_files, used))
        self._check_sidecars(used)
        return reads

    def _read_python(self, files: list[tuple[ProjectFile, TableName]], used: set[TableName]) -> dict[TableName, ReadModel]:
        if not files:
            return {}
        from headwater.project.python_models import read_python_models

        reads: dict[TableName, ReadModel] = {}
        for file, table in files:
            self._texts[file.path] = file.text
            found = read_python_models(self._directory, file, table, self._sidecars, self._report)
            if not found:
                self._define(table, Location(file.path))
                used.add(table)
            for read, place in found:
                self._define(read.model.name, place)
                used.add(read.model.name)
                reads.setdefault(read.model.name, read)
        return reads

    def _define(self, table: TableName, place: Location) -> None:
        check_schema_name(table.schema, place, self._report, f"the model {table}")
        check_table_name(table, place, self._report)
        self._defined.append(Defined(table, "model", place))

    def _read_sidecar(self, file: ProjectFile) -> None:
        if not file.stem.startswith("_"):
            self._report.add("ignored-file", "YAML among the models is read when its name begins with _", Location(file.path), severity="warning")
            return
        for table, sidecar in read_sidecars(file, self._settings.vars, self._report).items():
            other = self._sidecars.setdefault(table, sidecar)
            if other is not sidecar:
                place = sidecar.document.locate(sidecar.path, True)
                self._report.add("described-twice", f"{table} has a header in {other.document.path} too", place, expected="one of the two")

    def _check_sidecars(self, used: set[TableName]) -> None:
        for table, sidecar in self._sidecars.items():
            if table not in used:
                guess = nearest(table.name, [other.name for other in used if other.schema == table.schema])
                self._report.add("unknown-table", f"there is no model {table}", sidecar.document.locate(sidecar.path, True), did_you_mean=guess)

    # -- checking ------------------------------------------------------------------------------------------------

    def _place_of_table(self, model: Model, parts: tuple[str, ...]) -> Location:
        if model.language == "sql":
            return place_of_table(self._texts[model.path], model.sql_line, model.path, parts)
        return self._place_in_python(model, parts)

    def _place_in_python(self, model: Model, parts: tuple[str, ...]) -> Location:
        text = self._texts[model.path]
        for quote in "\"'":
            offset = text.find(f"{quote}{'.'.join(parts)}{quote}")
            if offset >= 0:
                return Location(model.path, *sqltext.line_and_column(text, offset))
        return Location(model.path)

    def _check_resources(self, linker: Linker, sources: Mapping[str, Source], models: Mapping[TableName, Model]) -> None:
        renamed: list[tuple[TableName, Model | Stream, Callable[[], Location]]] = []
        for source in sources.values():
            document = self._source_documents[source.name]
            for name, stream in source.streams.items():
                table = source.table_name(name)
                if stream.renamed_from is not None:
                    renamed.append((table, stream, partial(document.locate, ["streams", name, "renamed_from"])))
                checks = _to_look_into(stream)
                place = partial(place_of_check, document, ("streams", name), document.locate(["streams", name]))
                linker.check_checks(table, checks, place)
                check_declared(stream, place_in(document, ("streams", name)), place, self._report)
        for table, model in models.items():
            if model.renamed_from is not None:
                renamed.append((table, model, partial(self._place_in_header, model, ("renamed_from",))))
            checks = _to_look_into(model)
            if checks:
                linker.check_checks(table, checks, partial(self._place_of_check, model))
            if model.columns or model.partition_by or model.checks:
                check_declared(model, partial(self._place_in_header, model), partial(self._place_of_check, model), self._report)
        linker.check_renames(renamed)

    def _header_of(self, model: Model) -> tuple[Document | None, tuple[str, ...]]:
        """The document a model's header stands in, and its path there; read again, for the place of a mistake."""
        sidecar = self._sidecars.get(model.name)
        if sidecar is not None:
            return sidecar.document, sidecar.path
        if model.language == "python":
            return None, ()
        split = sqltext.split_header(self._texts[model.path])
        if split.header is None:
            return None, ()
        return read_document(split.header, model.path, Report(), values=self._settings.vars, first_line=split.first_line, widths=split.widths), ()

    def _place_in_header(self, model: Model, path: Sequence[str | int], at_key: bool = False) -> Location:
        document, within = self._header_of(model)
        return document.locate([*within, *path], at_key) if document is not None else Location(model.path)

    def _place_of_check(self, model: Model, check: Check) -> Location:
        document, within = self._header_of(model)
        return place_of_check(document, within, Location(model.path), check)

    def _note_reserved_folders(self) -> None:
        for folder in _RESERVED_FOLDERS:
            if any(True for _ in walk(self._directory, folder, _YAML, self._report)):
                self._report.add(
                    "folder-not-read", f"the folder {folder} has no meaning in this version and isn't read", Location(folder), severity="note"
                )


def _vars_used(directory: Path) -> Iterator[str]:
    """The vars that the project's files name."""
    for folder in ("sources", "macros", "models", "tests", "exports"):
        for file in read_files(directory, folder, (".sql", *_YAML), Report()):
            yield from vars_named(file.text)


def _to_look_into(resource: Model | Stream) -> tuple[Check, ...]:
    """The checks that name other tables or hold SQL."""
    every = (*resource.checks, *(check for column in resource.columns.values() for check in column.checks))
    return tuple(check for check in every if isinstance(check, (Relationships, Query, Expression)))


def _labels_given(sources: Mapping[str, Source], models: Mapping[TableName, Model]) -> set[str]:
    """All labels that definitions give to columns."""
    streams = (stream for source in sources.values() for stream in source.streams.values())
    found = {label for stream in streams for column in stream.columns.values() for label in column.labels}
    return found | {label for model in models.values() for column in model.columns.values() for label in column.labels}
