"""Postgres' dialect: queries in its words as DuckDB runs them, with the same answer or refused.

`translation` goes over a query, by the `rules` for its nodes: those of `numbers` (`decimals` finds their types, `mixed` brings several together,
`quotients` divides, `quoted` reads texts beside them), `texts`, `times` and `calls`.
"""
