"""`django.db.utils`: what programs catch when the database cannot serve."""

from __future__ import annotations

from balsam_core.errors import DatabaseError, JobSpecError

Error = DatabaseError
OperationalError = DatabaseError
InterfaceError = DatabaseError
InternalError = DatabaseError
ProgrammingError = DatabaseError


class IntegrityError(JobSpecError):
    """A row with that key is there already."""


class NotSupportedError(JobSpecError):
    """A query asks for something that is not provided."""
