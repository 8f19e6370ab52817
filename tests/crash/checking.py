"""What must hold of a crashed lake: at any instant for readers, and after an undisturbed run for everything."""

from __future__ import annotations

import json
from typing import Any

from shop import Shop

from headwater.orchestration import Session
from headwater.spec.names import TableName
from headwater.storage import Access


def _read(session: Session, sql: str) -> list[tuple[Any, ...]]:
    return sorted(session.lake.read_as(Access.owner(), sql).fetchall(), key=repr)


def _names(session: Session) -> set[str]:
    return {str(table) for table, state in session.lake.state().tables.items() if state.published_snapshot != -1 and not state.is_retired}


def check_published(session: Session) -> list[str]:
    """What readers see just now fits together across tables, whatever was killed before."""
    wrong = []
    seen = _names(session)
    models = {"staging.orders", "marts.by_customer", "marts.total", "marts.named", "marts.names", "marts.visits", "marts.history"}
    if seen & models and not seen >= models:
        wrong.append(f"only some models are published: {sorted(seen & models)}")
    if not seen >= models:
        return wrong
    ((orders, total, by_customer, history, shown, named, names),) = _read(
        session,
        """
        SELECT
            (SELECT (count(*), sum(amount)::BIGINT)::VARCHAR FROM staging.orders),
            (SELECT (n, amount)::VARCHAR FROM marts.total),
            (SELECT (sum(n)::BIGINT, sum(amount)::BIGINT)::VARCHAR FROM marts.by_customer),
            (SELECT (count(*), sum(amount)::BIGINT)::VARCHAR FROM marts.history WHERE valid_to IS NULL),
            (SELECT count(*) FROM staging.shown),
            (SELECT count(*) FROM marts.named),
            (SELECT n FROM marts.names)
        """,
    )
    if not orders == total == by_customer == history:
        wrong.append(f"tables built on staging.orders differ: {orders}, {total}, {by_customer}, {history}")
    if not shown == named == names:
        wrong.append(f"a publish_group or the view it stands on differs: {shown}, {named}, {names}")
    return wrong


def check_everything(session: Session, shop: Shop) -> list[str]:
    """Nothing lost, nothing doubled, against the source itself; to be asked after a run that wasn't disturbed."""
    wrong = check_published(session)

    def same(what: str, found: list[Any], expected: list[Any]) -> None:
        if sorted(found, key=repr) != sorted(expected, key=repr):
            lost = [row for row in expected if row not in found]
            more = [row for row in found if row not in expected]
            wrong.append(f"{what}: {len(found)} rows, expected {len(expected)}; lost {lost[:5]}, too much {more[:5]}")

    orders = shop.orders()
    good, broken = shop.visits()
    columns = "id, customer, day::VARCHAR, amount, version"
    same("shop.orders", _read(session, f"SELECT {columns} FROM shop.orders"), orders)
    same("staging.orders", _read(session, f"SELECT {columns} FROM staging.orders"), orders)
    same("shop.customers", _read(session, "SELECT id, name FROM shop.customers"), shop.customers())
    same("web.visits", _read(session, "SELECT id, day::VARCHAR, pages FROM web.visits"), good)
    same("marts.visits", _read(session, "SELECT id, day::VARCHAR, pages FROM marts.visits"), good)
    same("marts.history", _read(session, "SELECT id, amount FROM marts.history WHERE valid_to IS NULL"), [(row[0], row[3]) for row in orders])
    doubled = _read(session, "SELECT id, valid_from FROM marts.history GROUP BY ALL HAVING count(*) > 1")
    if doubled:
        wrong.append(f"marts.history has versions twice: {doubled[:5]}")
    waiting = session.lake.quarantine(TableName("web", "visits"))
    same("quarantine", [int(json.loads(row.raw or "{}")["id"]) for row in waiting], broken)
    wrong += [f"inconsistent: {found}" for found in session.lake.check_consistency()]
    unpublished = [str(table) for table, state in session.lake.state().tables.items() if state.publication != "follows"]
    if unpublished:
        wrong.append(f"left unpublished: {unpublished}")
    return wrong
