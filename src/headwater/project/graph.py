"""The graph of tables, pure: what reads what, in which order, what lies above and below."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import Literal

from headwater.spec.names import TableName


@dataclass(frozen=True, slots=True)
class Node:
    """A table of the graph: a stream's, or a model's. `path` is the file that defines it; `source` is the source's name for streams, else ""."""

    table: TableName
    kind: Literal["stream", "model"]
    inputs: tuple[TableName, ...] = ()
    tags: tuple[str, ...] = ()
    path: str = ""
    source: str = ""


class Graph:
    """Nodes and what joins them. Immutable. Inputs that aren't nodes themselves are not followed.

    Names are those of the nodes, with their case; `find` takes any case.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: Mapping[TableName, Node] = MappingProxyType({node.table: node for node in nodes})

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], TableName]:
        return {table.key: table for table in self.nodes}

    @cached_property
    def _outputs(self) -> dict[TableName, list[TableName]]:
        outputs: dict[TableName, list[TableName]] = {table: [] for table in self.nodes}
        for node in self.nodes.values():
            for table in node.inputs:
                if table in outputs:
                    outputs[table].append(node.table)
        return outputs

    @cached_property
    def _order(self) -> tuple[TableName, ...]:
        waiting = {node.table: sum(1 for table in node.inputs if table in self.nodes) for node in self.nodes.values()}
        ready = [table for table, count in waiting.items() if count == 0]
        heapify(ready)
        order: list[TableName] = []
        while ready:
            table = heappop(ready)
            order.append(table)
            for output in self._outputs[table]:
                waiting[output] -= 1
                if waiting[output] == 0:
                    heappush(ready, output)
        return tuple(order)

    @cached_property
    def _rank(self) -> dict[TableName, int]:
        return {table: index for index, table in enumerate(self._order)}

    def find(self, name: TableName) -> TableName | None:
        """The node's own name for a name in any case; None when there is no such node."""
        return name if name in self.nodes else self._by_key.get(name.key)

    def order(self) -> tuple[TableName, ...]:
        """All tables, inputs before what reads them; among equals by name. Tables in or below a cycle are left out (a loaded project has none)."""
        return self._order

    def sort(self, tables: Iterable[TableName]) -> tuple[TableName, ...]:
        """These tables in topological order, each once."""
        return tuple(sorted(set(tables), key=lambda table: self._rank.get(table, len(self._rank))))

    def inputs(self, table: TableName) -> tuple[TableName, ...]:
        """What the table reads itself."""
        return self.nodes[table].inputs

    def outputs(self, table: TableName) -> tuple[TableName, ...]:
        """The tables that read it themselves."""
        return tuple(self._outputs[table])

    def upstream(self, table: TableName, depth: int | None = None) -> frozenset[TableName]:
        """All that the table is made from, at most `depth` steps away (None: all the way); without the table itself."""
        return self._reach(table, depth, up=True)

    def downstream(self, table: TableName, depth: int | None = None) -> frozenset[TableName]:
        """All that is made from the table, at most `depth` steps away (None: all the way); without the table itself."""
        return self._reach(table, depth, up=False)

    def with_downstream(self, tables: Iterable[TableName]) -> tuple[TableName, ...]:
        """These tables and all that is made from them, in topological order."""
        given = set(tables)
        return self.sort(given.union(*map(self.downstream, given)))

    def _reach(self, table: TableName, depth: int | None, *, up: bool) -> frozenset[TableName]:
        seen = {table}
        queue = deque([(table, 0)])
        while queue:
            current, steps = queue.popleft()
            if depth is not None and steps >= depth:
                continue
            for other in self.nodes[current].inputs if up else self._outputs[current]:
                if other not in seen and other in self.nodes:
                    seen.add(other)
                    queue.append((other, steps + 1))
        return frozenset(seen - {table})

    def cycles(self) -> list[tuple[TableName, ...]]:
        """A shortest cycle for each group of tables that depend on one another, as a path that ends where it began: `(a, b, a)`."""
        left = set(self.nodes) - set(self._order)
        found: list[tuple[TableName, ...]] = []
        while left:
            start = min(left)
            path = self._shortest_cycle(start)
            if path:
                found.append(path)
                group = (self.upstream(start) & self.downstream(start)) | {start}
                left -= group
            else:
                left.discard(start)  # below a cycle, not in one
        return found

    def _shortest_cycle(self, start: TableName) -> tuple[TableName, ...]:
        before: dict[TableName, TableName] = {}
        queue = deque([start])
        while queue:
            current = queue.popleft()
            for other in self.nodes[current].inputs:
                if other == start:
                    path = [current]
                    while path[-1] != start:
                        path.append(before[path[-1]])
                    return (*reversed(path), start)
                if other in self.nodes and other not in before:
                    before[other] = current
                    queue.append(other)
        return ()
