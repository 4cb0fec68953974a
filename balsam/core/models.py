"""BalsamJob, ApplicationDefinition, the states and the reports: what programs import from `balsam.core.models`."""

from __future__ import annotations

from uuid import UUID

from balsam.core.site import require_site

require_site()

from balsam.core.application import ApplicationDefinition  # noqa: E402 without a site the import ends above
from balsam.core.exceptions import (  # noqa: E402
    FieldDoesNotExist,
    FieldError,
    InvalidFieldError,
    InvalidParentsError,
    InvalidStateError,
    NoApplication,
    ObjectDoesNotExist,
    ValidationError,
)
from balsam.core.history import (  # noqa: E402
    STATE_TIME_PATTERN,
    TIME_FMT,
    from_time_string,
    get_time_string,
    history_line,
)
from balsam.core.job import BalsamJob  # noqa: E402
from balsam.core.launches import QueuedLaunch  # noqa: E402
from balsam.core.query import QuerySet  # noqa: E402
from balsam.core.reports import (  # noqa: E402
    error_report,
    job_waiting_report,
    process_job_times,
    throughput_report,
    utilization_report,
)
from balsam.core.settings import all_settings  # noqa: E402
from balsam.core.source import JobSource  # noqa: E402
from balsam.stand_in import configure_real_django  # noqa: E402
from balsam_core.state import machine  # noqa: E402

configure_real_django(all_settings)

__all__ = [
    "ACTIVE_STATES",
    "END_STATES",
    "PROCESSABLE_STATES",
    "RUNNABLE_STATES",
    "STATES",
    "STATE_TIME_PATTERN",
    "TIME_FMT",
    "ApplicationDefinition",
    "BalsamJob",
    "FieldDoesNotExist",
    "FieldError",
    "InvalidFieldError",
    "InvalidParentsError",
    "InvalidStateError",
    "JobSource",
    "NoApplication",
    "ObjectDoesNotExist",
    "QueuedLaunch",
    "ValidationError",
    "error_report",
    "from_time_string",
    "get_time_string",
    "history_line",
    "job_waiting_report",
    "process_job_times",
    "safe_select",
    "throughput_report",
    "utilization_report",
    "validate_state",
]


def _words(group: frozenset[machine.State]) -> list[str]:
    return [state.value for state in machine.State if state in group]


STATES = [state.value for state in machine.State]
ACTIVE_STATES = _words(machine.ACTIVE)
PROCESSABLE_STATES = _words(machine.PROCESSABLE)
RUNNABLE_STATES = _words(machine.RUNNABLE)
END_STATES = _words(machine.END)


def validate_state(value: str) -> None:
    """Raise InvalidStateError unless it is a state."""
    if value not in STATES:
        raise InvalidStateError(f"{value} is not a state; known: {', '.join(STATES)}")


def safe_select(queryset: QuerySet) -> QuerySet:
    """The jobs that a query finds now, whatever becomes of them meanwhile."""
    ids: list[UUID] = list(queryset.values_list("pk", flat=True))
    found: QuerySet = BalsamJob.objects.filter(pk__in=ids)
    return found
