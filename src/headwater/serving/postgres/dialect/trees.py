"""Ways through sqlglot's trees, and changes to them that take no longer where a list is long."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp


def put_in_place(made: exp.Expr, of: exp.Expr) -> None:
    """As `of.replace(made)`, which goes over everything that stands beside it: a list of thousands would take minutes."""
    beside = of.parent.args.get(of.arg_key or "") if of.parent is not None else None
    if not isinstance(beside, list) or of.index is None or not of.index < len(beside) or beside[of.index] is not of:
        of.replace(made)
        return
    beside[of.index] = made
    made.parent, made.arg_key, made.index = of.parent, of.arg_key, of.index


def queries_of(node: exp.Expr) -> Iterator[exp.Query]:
    """The queries that a set operation is made of, from the first; a query by itself."""
    left = [node]
    while left:
        one = left.pop()
        while isinstance(one, exp.Subquery):
            one = one.this
        if isinstance(one, exp.SetOperation):
            left += [one.args["expression"], one.this]
        elif isinstance(one, exp.Query):
            yield one
