"""Tells browsers that something has changed, by server-sent events.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from starlette.responses import StreamingResponse

from balsam_core.errors import DatabaseError
from balsam_core.state.database import Database

_LOOK_SECONDS = 1.0
# Proxies cut a silent connection after a minute or so.
_SILENT_LOOKS = 20


class Changes:
    """Looks once a second whether the database has changed, however many browsers listen.

    database: a connection of its own, or reading would look like a change (see `Database.change_mark`).
    number: how many changes were seen so far.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.number = 0
        self._calls = 0
        self._mark: tuple[int, int] | None = None

    def note(self) -> None:
        """This program itself has changed something, which leaves no mark."""
        self.number += 1
        self._calls += 1

    def look_again(self) -> None:
        """Nothing has changed, but there is more to see of what has."""
        self._calls += 1

    async def watch(self) -> None:
        """Look until cancelled; a database that does not answer has not changed."""
        while True:
            try:
                mark = await anyio.to_thread.run_sync(self._database.change_mark)
            except DatabaseError:
                mark = self._mark or (0, 0)
            if mark != self._mark:
                self._mark = mark
                self.note()
            await anyio.sleep(_LOOK_SECONDS)

    def stream(self) -> StreamingResponse:
        """An answer that goes on: `change` when it is time to look, a comment when nothing has for long."""
        return StreamingResponse(self._told(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _told(self) -> AsyncIterator[str]:
        told, silent = self._calls, 0
        yield ": hello\n\n"
        while True:
            await anyio.sleep(_LOOK_SECONDS / 2)
            silent += 1
            if self._calls != told:
                told, silent = self._calls, 0
                yield f"event: change\ndata: {told}\n\n"
            elif silent >= _SILENT_LOOKS:
                silent = 0
                yield ": still here\n\n"
