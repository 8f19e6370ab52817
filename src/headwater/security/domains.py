"""Which tokens are alike: the domain of a column. Pure."""

from __future__ import annotations

from headwater.security.decisions import ColumnLabels, Resource, label_rule, named_mask
from headwater.spec.policies import Policies


def domains_of(policies: Policies, table: Resource, column: ColumnLabels) -> frozenset[str]:
    """Domains, in lower case, that a column's tokens have, or had under other rules: its labels', the one that a rule names, its own."""
    rules = [named_mask(policies, table, column), *(label_rule(policies, label) for label in column.labels)]
    named = {str(mask.argument) for mask in rules if mask is not None and mask.kind == "token" and mask.argument is not None}
    return frozenset(one.lower() for one in (*named, *column.labels, f"{table.table}.{column.name}"))
