"""Random DuckDB queries over three small tables of integers, for the test that lineage leaves no edge out."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

TABLES = {"r.t1": ("a", "b", "c"), "r.t2": ("a", "b", "d"), "r.t3": ("b", "c", "e")}
_ALIASES = ("a", "b", "c", "d", "x", "y")


@dataclass
class Query:
    sql: str
    columns: list[str]


class QueryMaker:
    """Makes one query from one seed. Aliases collide with columns on purpose; every column is an integer, so that everything fits everything."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.number = 0
        self.ctes: list[dict[str, list[str]]] = []

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    def alias(self) -> str:
        self.number += 1
        return f"q{self.number}"

    def statement(self) -> str:
        return self.query(self.random.choice((1, 2, 2)), []).sql

    def query(self, depth: int, outer: list[str], width: int | None = None) -> Query:
        if depth > 1 and self.chance(0.25):
            return self.with_cte(depth, outer, width)
        if depth > 0 and self.chance(0.2):
            return self.set_operation(depth, outer, width)
        return self.select(depth, outer, width)

    def with_cte(self, depth: int, outer: list[str], width: int | None) -> Query:
        name = f"w{self.number}"
        self.number += 1
        if self.chance(0.3):
            seed = self.select(0, [], 2)
            table, columns = self.random.choice(list(TABLES.items()))
            source = self.pick(f"{name} WHERE n < 2", f"{name}, {table} AS z WHERE n < 2 AND z.{columns[0]} = k")
            step = f"SELECT n + 1, {self.pick('k', 'n', 'k + 1')} FROM {source}"
            head = f"WITH RECURSIVE {name}(n, k) AS (SELECT * FROM ({seed.sql}) {self.pick('UNION ALL', 'UNION')} {step})"
            columns_of_cte = ["n", "k"]
        else:
            inner = self.query(depth - 1, [])
            head, columns_of_cte = f"WITH {name} AS {self.pick('', 'MATERIALIZED ')}({inner.sql})", inner.columns
        self.ctes.append({name: columns_of_cte})
        rest = self.query(depth - 1, outer, width)
        self.ctes.pop()
        sql = rest.sql
        if sql.startswith("WITH"):
            return Query(f"{head} SELECT * FROM ({sql})", rest.columns)
        return Query(f"{head} {sql}", rest.columns)

    def set_operation(self, depth: int, outer: list[str], width: int | None) -> Query:
        width = width or self.random.randint(1, 3)
        left, right = self.query(depth - 1, outer, width), self.query(depth - 1, outer, width)
        kind = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL")
        sql = f"(SELECT * FROM ({left.sql})) {kind} (SELECT * FROM ({right.sql}))"
        if kind.startswith("UNION") and self.chance(0.3) and {c.lower() for c in left.columns} == {c.lower() for c in right.columns}:
            sql = f"(FROM ({left.sql})) {kind} BY NAME (FROM ({right.sql}))"
        if self.chance(0.3):
            order = ", ".join(str(index + 1) for index in range(width))
            sql += f" ORDER BY {self.pick(order, '1', left.columns[0], 'ALL')} LIMIT {self.random.randint(1, 4)}"
        return Query(sql, left.columns)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def relation(self, depth: int, left: list[str]) -> tuple[str, list[str], str]:
        """A table reference, its columns and its alias."""
        alias = self.alias()
        choice = self.random.random()
        if depth > 0 and choice < 0.3:
            inner = self.query(depth - 1, left if self.chance(0.4) else [])
            lateral = "LATERAL " if left and self.chance(0.3) else ""
            if self.chance(0.2):
                names = [f"v{index}" for index in range(len(inner.columns))]
                return f"{lateral}({inner.sql}) AS {alias}({', '.join(names)})", names, alias
            return f"{lateral}({inner.sql}) AS {alias}", inner.columns, alias
        if left and choice < 0.4:
            column = self.random.choice(left)
            made = self.pick(
                f"unnest([{column}, 7]) AS {alias}(u)", f"range(coalesce({column}, 0)) AS {alias}(u)", f"(VALUES ({column}), (2)) AS {alias}(u)"
            )
            return made, ["u"], alias
        if depth > 0 and choice < 0.5:
            return self.pivoted(alias)
        if self.ctes and choice < 0.7:
            name, columns = self.random.choice([item for known in self.ctes for item in known.items()])
            return f"{name} AS {alias}", list(columns), alias
        table, columns_of_table = self.random.choice(list(TABLES.items()))
        return f"{table} AS {alias}", list(columns_of_table), alias

    def pivoted(self, alias: str) -> tuple[str, list[str], str]:
        table, (first, second, third) = self.random.choice(list(TABLES.items()))
        if self.chance(0.5):
            group, columns = self.random.choice([(f" GROUP BY {third}", [third]), ("", [third])])
            pivot = f"(PIVOT {table} ON {first} IN (1, 2) USING {self.pick('sum', 'max', 'count')}({second}){group})"
            return f'(SELECT {third}, "1"::INT AS p1, "2"::INT AS p2 FROM {pivot}) AS {alias}', [*columns, "p1", "p2"], alias
        nulls = self.pick("", "INCLUDE NULLS ")
        unpivot = f"(FROM {table} UNPIVOT {nulls}(v FOR n IN ({first}, {second})))"
        return f"(SELECT {third}, v, length(n)::INT AS n FROM {unpivot}) AS {alias}", [third, "v", "n"], alias

    def from_clause(self, depth: int, outer: list[str]) -> tuple[str, list[str]]:
        """A FROM clause and the columns that expressions may name, mostly qualified."""
        sql, columns, alias = self.relation(depth, outer if self.chance(0.2) else [])
        names = [(alias, column) for column in columns]
        for _ in range(self.random.choice((0, 0, 1, 1, 2))):
            sql, names = self.join(depth, sql, names)
        counts: dict[str, int] = {}
        for _, column in names:
            counts[column.lower()] = counts.get(column.lower(), 0) + 1
        usable = [f"{alias}.{column}" if counts[column.lower()] > 1 or self.chance(0.5) else column for alias, column in names]
        return sql, list(dict.fromkeys(usable))

    def join(self, depth: int, left: str, names: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        right, columns, alias = self.relation(depth, [f"{source}.{column}" for source, column in names])
        added = [(alias, column) for column in columns]
        left_names = [column.lower() for _, column in names]
        shared = sorted({column.lower() for column in columns} & {name for name in left_names if left_names.count(name) == 1})
        is_lateral = any(f"{source}." in right for source, _ in names)
        if shared and not is_lateral and self.chance(0.35):
            kind = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN")
            merged = shared[:1] if self.chance(0.5) else shared
            sql = f"{left} {kind} {right} USING ({', '.join(merged)})"
            if kind in ("SEMI JOIN", "ANTI JOIN"):
                return sql, names
            return sql, [pair for pair in names + added if pair[1].lower() not in merged or self.chance(0.5)] or names
        if is_lateral or self.chance(0.15):
            return f"{left}, {right}", names + added
        if self.chance(0.1):
            return f"{left} POSITIONAL JOIN {right}", names + added
        kind = self.pick("JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "RIGHT JOIN")
        one, other = self.random.choice(names), self.random.choice(added)
        condition = f"{one[0]}.{one[1]} {self.pick('=', '=', '<', 'IS NOT DISTINCT FROM')} {other[0]}.{other[1]}"
        if kind in ("FULL JOIN", "RIGHT JOIN"):
            condition = condition.replace(" < ", " = ")
        return f"{left} {kind} {right} ON {condition}", names if kind in ("SEMI JOIN", "ANTI JOIN") else names + added

    # -- expressions -----------------------------------------------------------------------------------------------

    def scalar(self, columns: list[str], depth: int, outer: list[str]) -> str:
        choice = self.random.random()
        column = self.random.choice(columns)
        if choice < 0.45:
            return column
        other = self.random.choice(columns + outer)
        if choice < 0.65:
            return self.pick(
                f"coalesce({column}, {other})", f"{column} + {other}", f"CASE WHEN {column} > 1 THEN {other} END", f"greatest({column}, {other})"
            )
        if choice < 0.75:
            return self.pick(
                f"list_sum(list_transform([{column}], a -> a + {other}))::INT",
                f"{{'p': {column}, 'q': {other}}}.p",
                f"({column} IN ({other}, 2))::INT",
                f"list_sum([x + {other} FOR x IN [{column}, 1] IF x > 0])::INT",
            )
        if choice < 0.88 and depth > 0:
            return self.subquery(columns + outer, depth)
        return self.pick("1", "2", f"-{column}")

    def subquery(self, columns: list[str], depth: int) -> str:
        inner = self.select(depth - 1, columns, 1)
        column = self.random.choice(columns)
        return self.pick(
            f"(SELECT max(s) FROM ({inner.sql}) AS m(s))",
            f"(SELECT count(*) FROM ({inner.sql}) AS m(s) WHERE s = {column})::INT",
            f"(EXISTS ({inner.sql}))::INT",
            f"({column} IN ({inner.sql}))::INT",
            f"(SELECT sum(s) FROM ({inner.sql}) AS m(s) WHERE s < {column})::INT",
        )

    def predicate(self, columns: list[str], depth: int, outer: list[str]) -> str:
        one = self.scalar(columns, depth, outer)
        if self.chance(0.25):
            return f"{one} IS NOT NULL"
        return f"{one} {self.pick('=', '<', '>=', '<>')} {self.pick('1', '2', self.random.choice(columns + outer))}"

    def window(self, columns: list[str]) -> str:
        one, two, three = (self.random.choice(columns) for _ in range(3))
        over = self.pick(f"(PARTITION BY {one} ORDER BY {two}, {three})", f"(ORDER BY {two}, {one})", f"(PARTITION BY {two})")
        function = self.pick(
            "row_number()", f"sum({three})", f"max({three})", f"lag({three})", f"count({three}) FILTER ({one} > 1)", "rank()", f"first({one})"
        )
        if "rank" in function or "lag" in function:
            over = f"(PARTITION BY {one} ORDER BY {two})"
        return f"({function} OVER {over})::INT"

    def aggregate(self, columns: list[str], depth: int, outer: list[str]) -> str:
        one = self.random.choice(columns)
        inside = self.scalar(columns, 0, outer)
        call = self.pick(
            "count(*)", f"sum({inside})", f"max({inside})", f"count(DISTINCT {one})", f"first({inside} ORDER BY {one})", f"arg_max({inside}, {one})",
            f"sum({inside}) FILTER (WHERE {one} > 1)", f"list_sum(list({inside}))",
        )  # fmt: skip
        return f"{call}::INT"

    # -- SELECT ----------------------------------------------------------------------------------------------------

    def select(self, depth: int, outer: list[str], width: int | None = None) -> Query:
        source, columns = self.from_clause(depth, outer)
        where = f" WHERE {self.predicate(columns, depth, outer)}" if self.chance(0.4) else ""
        if self.chance(0.3):
            return self.grouped(source, columns, where, depth, outer, width)
        if width is None and self.chance(0.2):
            return self.starred(depth)
        width = width or self.random.randint(1, 3)
        items: list[str] = []
        names: list[str] = []
        for _ in range(width):
            expression = self.window(columns) if self.chance(0.2) else self.scalar(columns, depth, outer)
            if names and self.chance(0.15):
                expression = f"{names[-1]} + 1"  # the column of that name, or else the alias before
            name = self.random.choice([alias for alias in _ALIASES if alias not in names])
            items.append(f"{expression} AS {name}")
            names.append(name)
        unnested = self.chance(0.07)
        if unnested:
            items[-1] = f"unnest([{self.random.choice(columns)}, 3]) AS {names[-1]}"
        qualify = f" QUALIFY {self.window(columns)} <= 2" if not unnested and self.chance(0.12) else ""
        distinct = ""
        if not unnested and self.chance(0.15):
            distinct = "DISTINCT "
        elif not unnested and self.chance(0.1):
            key = self.random.choice(columns)
            order = ", ".join([key, *columns, *names])
            return Query(f"SELECT DISTINCT ON ({key}) {', '.join(items)} FROM {source}{where}{qualify} ORDER BY {order}", names)
        tail = ""
        if self.chance(0.25):
            keys = [self.pick(*names, "1", "ALL")] if distinct else [self.pick(*columns, *names, "1"), self.pick(*columns)]
            tail = f" ORDER BY {', '.join(keys[:1] if 'ALL' in keys else keys)}"
            if self.chance(0.7):
                tail += f" LIMIT {self.random.randint(1, 3)}" + self.pick("", " OFFSET 1")
        return Query(f"SELECT {distinct}{', '.join(items)} FROM {source}{where}{qualify}{tail}", names)

    def grouped(self, source: str, columns: list[str], where: str, depth: int, outer: list[str], width: int | None) -> Query:
        keys = [self.scalar(columns, 0, []) for _ in range(self.random.randint(0, 2 if width is None else min(1, width - 1)))]
        names = self.random.sample(_ALIASES, len(keys) + (width - len(keys) if width else self.random.randint(1, 2)))
        items = [f"{key} AS {name}" for key, name in zip(keys, names, strict=False)]
        items += [f"{self.aggregate(columns, depth, outer)} AS {name}" for name in names[len(keys) :]]
        group = ""
        if keys:
            by_position = ", ".join(str(index + 1) for index in range(len(keys)))
            sets = f"CUBE ({', '.join(keys)})"
            group = f" GROUP BY {self.pick('ALL', by_position, ', '.join(keys), sets)}"
        having = f" HAVING {self.aggregate(columns, 0, [])} > 1" if self.chance(0.25) else ""
        return Query(f"SELECT {', '.join(items)} FROM {source}{where}{group}{having}", names)

    def starred(self, depth: int) -> Query:
        sql, columns, alias = self.relation(depth, [])
        lower = [column.lower() for column in columns]
        if len(set(lower)) < len(lower):
            return Query(f"SELECT {alias}.* FROM {sql}", columns)
        first, last = columns[0], columns[-1]
        choice = self.random.randrange(7)
        if choice == 0 and len(columns) > 1:
            return Query(f"SELECT * EXCLUDE ({first}) FROM {sql}", columns[1:])
        if choice == 1:
            return Query(f"SELECT * REPLACE ({first} + coalesce({last}, 0) AS {last}) FROM {sql}", columns)
        if choice == 2:
            return Query(f"SELECT * RENAME ({first} AS zz) FROM {sql}", ["zz", *columns[1:]])
        if choice == 3:
            return Query(f"SELECT max(COLUMNS(*))::INT FROM {sql}", columns)
        if choice == 4:
            return Query(f"SELECT COLUMNS(name -> name = '{first}') + {last} FROM {sql}", [first])
        if choice == 5:
            return Query(f"FROM {sql} WHERE COLUMNS(*) IS NOT NULL", columns)
        return Query(f"FROM {sql}", columns)
