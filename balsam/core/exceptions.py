"""What the facade raises: Django's classes where programs catch those, and Balsam 0.5's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from balsam.stand_in import provide
from balsam_core.errors import JobSpecError

provide()

if TYPE_CHECKING:
    from balsam.stand_in.exceptions import (
        FieldDoesNotExist,
        FieldError,
        MultipleObjectsReturned,
        ObjectDoesNotExist,
        ValidationError,
    )
    from balsam.stand_in.utils import IntegrityError, NotSupportedError
else:
    from django.core.exceptions import (
        FieldDoesNotExist,
        FieldError,
        MultipleObjectsReturned,
        ObjectDoesNotExist,
        ValidationError,
    )
    from django.db.utils import IntegrityError, NotSupportedError

__all__ = [
    "FieldDoesNotExist",
    "FieldError",
    "IntegrityError",
    "InvalidFieldError",
    "InvalidParentsError",
    "InvalidStateError",
    "MultipleObjectsReturned",
    "NoApplication",
    "NotSupportedError",
    "ObjectDoesNotExist",
    "ValidationError",
]


class InvalidFieldError(ValidationError, ValueError):
    """A field has a value that it cannot have."""


class InvalidStateError(ValidationError, ValueError):
    """Not a state, or a move that is refused."""


class InvalidParentsError(ValidationError, ValueError):
    """Not the parents of a job: no list, or the id of no job."""


class NoApplication(JobSpecError):
    """A job names no application."""
