"""Facts about the site itself: which machine an SQLite site belongs to."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, insert, select

from balsam_core.errors import DatabaseError
from balsam_core.state.leases import ExpiredLauncher, take_back
from balsam_core.state.tables import facts, launchers


def machine(tx: Connection) -> str | None:
    """The id of the machine that the site is bound to; None: no machine has used it yet."""
    return tx.execute(select(facts.c.value).where(facts.c.name == "machine_id")).scalar()


def adopt(tx: Connection, machine_id: str, host: str) -> None:
    """Bind the site to this machine; raises DatabaseError while a launcher of another machine holds a lease.

    Heartbeats of another machine cannot be judged from here (its clock is its own), so a row that has not ended counts.
    """
    if machine(tx) == machine_id:
        return
    live = tx.execute(select(launchers).where(launchers.c.ended_at.is_(None))).all()
    elsewhere = [row for row in live if row.machine_id != machine_id]
    if elsewhere:
        row = elsewhere[0]
        raise DatabaseError(
            f"this site's SQLite database is in use on the host {row.host} (launcher pid {row.pid}) and serves one "
            f"host only; run balsam on {row.host}, or stop that launcher; if it is gone for good: `balsam db adopt`"
        )
    _bind(tx, machine_id, host)


def adopt_by_force(tx: Connection, machine_id: str, host: str, *, now: float) -> None:
    """Bind the site to this machine on the word of a person that the other one is gone; its leases end."""
    elsewhere = and_(launchers.c.ended_at.is_(None), launchers.c.machine_id != machine_id)
    for row in tx.execute(select(launchers).where(elsewhere)).all():
        why = "the site was adopted by force"
        dead = ExpiredLauncher(
            row.launcher_id, row.machine_id, row.boot_id, row.host, row.pid, row.process_clock, why, ()
        )
        take_back(tx, dead, (), now=now)
    _bind(tx, machine_id, host)


def _bind(tx: Connection, machine_id: str, host: str) -> None:
    tx.execute(delete(facts).where(facts.c.name.in_(["machine_id", "host"])))
    tx.execute(insert(facts), [{"name": "machine_id", "value": machine_id}, {"name": "host", "value": host}])
