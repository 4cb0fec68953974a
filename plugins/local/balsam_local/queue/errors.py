"""What the queue's command can say besides an answer, each with its exit code.

2   usage: argparse's own
3   the request cannot be
4   the queue cannot be used
"""

from __future__ import annotations


class QueueError(Exception):
    """A deliberate error, printed in one line; `exit_code` tells the kinds apart."""

    exit_code = 1


class RequestRefused(QueueError):
    """The batch job that was asked for cannot be."""

    exit_code = 3


class QueueUnavailable(QueueError):
    """The folder of the queue cannot be used, now or by this user or on this host."""

    exit_code = 4
