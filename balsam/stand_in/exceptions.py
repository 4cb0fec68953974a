"""`django.core.exceptions`: what queries and instances raise; each is a `BalsamError` too."""

from __future__ import annotations

from balsam_core.errors import BalsamError, ConfigError, JobSpecError


class ObjectDoesNotExist(JobSpecError):
    """There is no such object."""


class MultipleObjectsReturned(JobSpecError):
    """There are several such objects."""


class FieldError(JobSpecError):
    """A query names a field or a look-up that there is not."""


class FieldDoesNotExist(JobSpecError):
    """A model has no such field."""


class ValidationError(JobSpecError):
    """A field has a value that it cannot have."""


class ImproperlyConfigured(ConfigError):
    """The site cannot be used as it is."""


class SuspiciousOperation(BalsamError):
    """Never raised; some programs catch it."""
