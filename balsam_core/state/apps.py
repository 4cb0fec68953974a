"""The rows of applications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, delete, insert, select, update

from balsam_core.errors import AppNotFound, JobSpecError, suggestion
from balsam_core.models.app import AppSpec
from balsam_core.models.wording import reasons
from balsam_core.state.tables import apps

_CHANGEABLE = AppSpec.model_fields.keys() - {"app_id"}


def insert_app(tx: Connection, app: AppSpec) -> None:
    """Insert an application; raises JobSpecError when the name is taken."""
    _refuse_taken(tx, app.name)
    tx.execute(insert(apps), app.model_dump())


def select_apps(tx: Connection, name: str = "") -> list[AppSpec]:
    """The applications whose name holds `name`, by name."""
    query = select(apps).where(apps.c.name.contains(name, autoescape=True)).order_by(apps.c.name)
    return [AppSpec.from_row(row) for row in tx.execute(query).mappings()]


def find_app(tx: Connection, name: str) -> AppSpec:
    """The application of that name; raises AppNotFound with the nearest one."""
    row = tx.execute(select(apps).where(apps.c.name == name)).mappings().first()
    if row is None:
        raise unknown_app(name, tx.execute(select(apps.c.name)).scalars())
    return AppSpec.from_row(row)


def unknown_app(name: str, known: Iterable[str]) -> AppNotFound:
    """The error for an application that does not exist: the nearest one, or how to add it."""
    names = list(known)
    way_out = suggestion(name, names) if names else f"add it with `balsam app --name {name} --executable ...`"
    return AppNotFound(f"no application named {name!r}; {way_out}")


def change_app(tx: Connection, name: str, values: Mapping[str, Any]) -> None:
    """Set fields of an application; raises AppNotFound, and JobSpecError for a field or value that cannot be."""
    app = find_app(tx, name)
    unknown = values.keys() - _CHANGEABLE
    if unknown:
        field = min(unknown)
        raise JobSpecError(f"an application has no field {field!r} to change; {suggestion(field, _CHANGEABLE)}")
    try:
        changed = AppSpec.model_validate({**app.model_dump(), **values})
    except ValidationError as error:
        raise JobSpecError(f"the application {name!r} cannot be changed so: {reasons(error)}") from None
    if changed.name != name:
        _refuse_taken(tx, changed.name)
    tx.execute(update(apps).where(apps.c.name == name).values(changed.model_dump()))


def delete_apps(tx: Connection, names: Sequence[str]) -> int:
    """Delete applications; their jobs stay, and fail when they come to run."""
    return tx.execute(delete(apps).where(apps.c.name.in_(names))).rowcount


def _refuse_taken(tx: Connection, name: str) -> None:
    if tx.execute(select(apps.c.app_id).where(apps.c.name == name)).first():
        raise JobSpecError(
            f"there is an application named {name!r} already; change it with "
            f"`balsam modify {name} executable ... --type apps`"
        )
