"""An executor whose calls are jobs of a site: for whatever takes a `concurrent.futures.Executor`."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, wait
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

from balsam_core.api.calls import Call, CallFiles, call_each
from balsam_core.api.connections import connection
from balsam_core.api.fields import CallFields, job_spec
from balsam_core.api.futures import BalsamFuture, cancel_all
from balsam_core.api.keeper import KeptLauncher
from balsam_core.api.site import Site
from balsam_core.errors import AppNotFound, JobSpecError
from balsam_core.launcher.hints import nobody_runs
from balsam_core.models.app import AppSpec, function_words
from balsam_core.models.job import JobSpec
from balsam_core.sharing import make_folder, share_as
from balsam_core.state.hosts import machine_id
from balsam_core.state.jobs import job_folder
from balsam_core.state.store import Store

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = ParamSpec("P")
T = TypeVar("T")

APPLICATION = "balsam.call"
WORKFLOW = "calls"
_log = logging.getLogger(__name__)
_FIELDS = tuple(CallFields.__annotations__)
_NO_NAME = re.compile(r"[^\w.-]+")
_NAME_LENGTH = 50
_LOOK_SECONDS = 1.0


class BalsamExecutor(Executor):
    """Runs each call as a job of the site: any launcher of its workflow may run it, now or later, and it is recorded.

    site: a `Site` or its folder; None: the active one. launch: run a launcher on this host, from the first call to
    `shutdown`. fields: what the jobs get, as for `Site.jobs.add`; a call is one process. Raises JobSpecError.
    """

    def __init__(
        self, site: Site | Path | str | None = None, *, launch: bool = False, **fields: Unpack[CallFields]
    ) -> None:
        self.site = site if isinstance(site, Site) else Site(site)
        self._shared = _Shared(launch)
        self._fields: dict[str, Any] = {"workflow": WORKFLOW, "application": ""}
        if launch:
            # The launcher runs here: as many calls at once as this program may use cores.
            self._fields["node_packing_count"] = len(os.sched_getaffinity(0))
        self._set(fields)

    def with_options(self, **fields: Unpack[CallFields]) -> BalsamExecutor:
        """The same executor for calls whose jobs get these fields, too; both are shut down together."""
        other = copy.copy(self)
        other._set(fields)
        return other

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> BalsamFuture[T]:
        """Add a job that calls `fn(*args, **kwargs)`.

        Raises what pickling them raises, JobSpecError, DatabaseError, LaunchError, and RuntimeError after `shutdown`.
        """
        return self._add([(fn, args, kwargs)])[0]

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """What `fn` returns for the arguments of each turn, in order; all jobs are added at once.

        chunksize: how many calls one job makes. Raises as `submit` and the calls do; then the rest is cancelled.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize cannot be {chunksize}; it is how many calls one job makes")
        deadline = None if timeout is None else time.monotonic() + timeout
        turns = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(turns, chunksize)), [])
        futures: list[BalsamFuture[list[T]]] = self._add([(call_each, (fn, chunk), {}) for chunk in chunks], fn)
        return self._results(futures, deadline)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The jobs go on, also after the end of this program.

        wait: until all calls have ended. cancel_futures: kill the jobs that do not run yet. Raises LaunchError when it
        waits for calls that the executor's own launcher, which has failed, will not run.
        """
        pending = self._shared.close()
        if cancel_futures:
            cancel_all(self.site._folder, [future for future in pending if not future.running()])
        if wait:
            self._shared.wait(pending)

    def _set(self, fields: CallFields) -> None:
        self._fields = {**self._fields, **fields}
        self._spec("call")

    def _spec(self, name: str) -> JobSpec:
        spec = job_spec({"name": name, **self._fields}, _FIELDS)
        if spec.num_ranks > 1:
            raise JobSpecError(
                f"a call cannot have {spec.num_ranks} ranks: it is one process; let its function start an MPI program"
            )
        return spec

    def _add(self, calls: Sequence[Call], named_after: Callable[..., Any] | None = None) -> list[BalsamFuture[Any]]:
        self._shared.check_open()
        if not calls:
            return []
        folder = self.site._folder
        store = connection(folder).store
        self._see_that_they_run(store)
        application = self._fields["application"] or self._shared.application(store)
        written: list[tuple[JobSpec, CallFiles]] = []
        try:
            for call in calls:
                spec = self._call_spec(named_after or call[0], application)
                files = CallFiles(folder.data / job_folder(spec), spec.job_id)
                spec.args = shlex.quote(str(files.folder))
                written.append((spec, files))
                make_folder(files.folder, folder.data)
                files.write_call(call)
                share_as(folder.data, files.call)
            store.add_jobs([spec for spec, _ in written], f"added by {Path(sys.argv[0]).name or 'a program'}")
        except BaseException:
            for _, files in written:
                files.remove()
            raise
        futures = [BalsamFuture[Any](folder, files) for _, files in written]
        self._shared.add(futures)
        for future in futures:
            future.watch()
        return futures

    def _call_spec(self, fn: Callable[..., Any], application: str) -> JobSpec:
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        spec = self._spec(_NO_NAME.sub("_", name.rpartition(".")[2]).strip("_")[:_NAME_LENGTH] or "call")
        spec.application = application
        spec.description = spec.description or f"{getattr(fn, '__module__', '')}.{name}"
        return spec

    def _see_that_they_run(self, store: Store) -> None:
        workflow = str(self._fields["workflow"])
        if self._shared.launch:
            self._shared.keep_launcher(self.site.path, workflow)
        elif self._shared.is_first_of(workflow) and nobody_runs(store, workflow, machine_id(os.environ)):
            _log.warning(
                "no launcher runs or is queued for the workflow %r: calls wait until you start one with "
                "`balsam launcher --wf-filter %s` or `balsam submit-launch`, or use BalsamExecutor(launch=True)",
                workflow,
                workflow,
            )

    def _results(self, futures: list[BalsamFuture[list[T]]], deadline: float | None) -> Iterator[T]:
        futures.reverse()
        try:
            while futures:
                seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
                results = futures[-1].result(seconds)
                # Nothing is to hold a result that was given out.
                futures.pop()
                yield from results
        finally:
            cancel_all(self.site._folder, futures)


class _Shared:
    """What an executor shares with those made of it by `with_options`."""

    def __init__(self, launch: bool) -> None:
        self.launch = launch
        self._lock = threading.Lock()
        self._pending: dict[UUID, BalsamFuture[Any]] = {}
        self._launchers: dict[str, KeptLauncher] = {}
        self._looked_for: set[str] = set()
        self._application = ""
        self._closed = False

    def check_open(self) -> None:
        """Raise RuntimeError after `close`, as every executor does."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def application(self, store: Store) -> str:
        """The application that makes calls, asked for once."""
        if not self._application:
            self._application = _registered(store)
        return self._application

    def add(self, futures: Sequence[BalsamFuture[Any]]) -> None:
        """Remember these until they are done."""
        with self._lock:
            self._pending.update((future.job_id, future) for future in futures)
        for future in futures:
            future.add_done_callback(self._done)

    def is_first_of(self, workflow: str) -> bool:
        """Whether this was not asked for that workflow before."""
        with self._lock:
            is_first = workflow not in self._looked_for
            self._looked_for.add(workflow)
            return is_first

    def keep_launcher(self, site: Path, workflow: str) -> None:
        """Have a launcher of our own run that workflow; raises LaunchError when it has failed."""
        with self._lock:
            if workflow not in self._launchers:
                self._launchers[workflow] = KeptLauncher(site, workflow)
            self._launchers[workflow].check()

    def close(self) -> list[BalsamFuture[Any]]:
        """Take no more; what is pending."""
        with self._lock:
            self._closed = True
            pending = list(self._pending.values())
        self._let_go()
        return pending

    def wait(self, pending: Sequence[BalsamFuture[Any]]) -> None:
        """Until these are done, and our launchers have ended; not any longer when one of those has failed."""
        for future in pending:
            future.watch_here()
        while wait(pending, _LOOK_SECONDS).not_done:
            for launcher in self._launchers.values():
                launcher.check()
        for launcher in self._launchers.values():
            launcher.wait()

    def _done(self, future: Any) -> None:
        with self._lock:
            self._pending.pop(future.job_id, None)
        self._let_go()

    def _let_go(self) -> None:
        """End our launchers when nothing needs them any more."""
        if self._closed and not self._pending:
            for launcher in self._launchers.values():
                launcher.end()


def _registered(store: Store) -> str:
    """The application that makes calls with this Python; it is added when it is missing.

    Its name gets a suffix when another Python has taken the plain one: jobs that wait keep theirs.
    """
    executable = shlex.join(function_words("balsam_core.call:run"))
    names = (APPLICATION, f"{APPLICATION}-{sha256(executable.encode()).hexdigest()[:8]}")
    for name in names:
        try:
            known = store.app(name).executable
        except AppNotFound:
            known = _added(store, name, executable)
        if known == executable:
            return name
    raise JobSpecError(f"the application {names[-1]!r} was changed; make one of your own and give application=NAME")


def _added(store: Store, name: str, executable: str) -> str:
    app = AppSpec(name=name, executable=executable, description="a call of a Python function: BalsamExecutor")
    try:
        store.add_app(app)
    except JobSpecError:
        # Another program was quicker.
        return store.app(name).executable
    return executable
