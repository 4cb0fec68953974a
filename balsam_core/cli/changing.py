"""Changes jobs and applications as `balsam modify` asks."""

from __future__ import annotations

from balsam_core.cli.apps import resolved_field
from balsam_core.cli.asking import ask
from balsam_core.cli.context import current_folder
from balsam_core.cli.job_options import from_folder
from balsam_core.cli.output import print_lines, warn
from balsam_core.cli.selection import NOTHING_FOUND, Chosen
from balsam_core.counting import counted
from balsam_core.models.app import AppSpec
from balsam_core.programs import missing_programs
from balsam_core.state.jobs import parse_change
from balsam_core.state.machine import parse_state
from balsam_core.state.store import Store


def change_jobs(store: Store, chosen: Chosen, field: str, value: str, *, yes: bool) -> None:
    """Set a field of the chosen jobs, or move them by hand; asks when they are several."""
    target = parse_state(value) if field == "state" else None
    value = from_folder({field: value}, current_folder())[field]
    new = None if target else parse_change(field, value)
    if field == "application":
        store.app(value)
    wanted = chosen.exact_filter(store)
    count = sum(store.count_by_state(wanted).values())
    if not count:
        print_lines([f"{NOTHING_FOUND}; nothing was changed"])
        return
    ask(f"Set {field} of {counted(count, 'job')} to {value!r}?", yes=yes or count == 1)
    changed = store.move_by_hand(wanted, target) if target else store.change_jobs(wanted, {field: new})
    left = f"; {count - changed} left as they are" if changed < count else ""
    print_lines([f"Changed {field} of {counted(changed, 'job')} to {target or value}{left}"])


def change_app(store: Store, name: str, field: str, value: str) -> None:
    """Set a field of an application; files are made absolute, as `balsam app` does."""
    text = resolved_field(field, value, current_folder())
    store.change_app(name, {field: text})
    changed: AppSpec = store.app(text if field == "name" else name)
    for named, wrong in missing_programs(changed):
        if named == field:
            warn(f"{field}: {wrong}; until then jobs of {changed.name!r} fail")
    print_lines([f"Changed {field} of app {name} to {text}"])
