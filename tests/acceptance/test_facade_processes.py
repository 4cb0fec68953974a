"""The facade in processes: what a job pays for its import, and that threads and forked children may use it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.facade import Facade


def run(code: str) -> list[str]:
    """The lines that a program prints."""
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.usefixtures("each_database")
def test_importing_dag_in_a_job_costs_one_query_and_loads_no_plugins(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent,) = facade.add("parent")
    (job,) = facade.add("a", parents=[parent])
    monkeypatch.setenv("BALSAM_JOB_ID", str(job.pk))
    assert run(
        """
        import importlib, subprocess, sys
        from sqlalchemy import Engine, event
        sent, started = [], []
        event.listen(Engine, "before_cursor_execute", lambda *about: sent.append(about[2]))
        sys.addaudithook(lambda name, args: started.append(args) if name == "subprocess.Popen" else None)
        from balsam.launcher import dag
        print(len(sent), len(started), dag.current_job.name, dag.JOB_ID == dag.current_job.pk)
        plugins = {"pluggy", "balsam_core.plugins.registry", "balsam_local", "psutil", "alembic"}
        print(sorted(plugins & set(sys.modules)))
        print([each.name for each in dag.parents], list(dag.children), len(sent))
        dag.current_job.delete()
        try:
            importlib.reload(dag)
        except RuntimeError as error:
            print(str(error).split(", but ")[1])
        """
    ) == [
        "1 0 a True",
        "[]",
        "['parent'] [] 3",
        "no job has that id: it was deleted, or unset BALSAM_JOB_ID",
    ]


@pytest.mark.usefixtures("each_database")
def test_parent_and_forked_children_each_use_connections_of_their_own(facade: Facade) -> None:
    assert run(
        """
        import multiprocessing, os, threading
        from balsam.launcher.dag import BalsamJob, add_job
        add_job(name="before", workflow="w")
        stop = threading.Event()
        def poll():
            while not stop.is_set():
                BalsamJob.objects.count()
        poller = threading.Thread(target=poll)
        poller.start()
        children = []
        for number in range(4):
            pid = os.fork()
            if pid == 0:
                add_job(name=f"child{number}", workflow="w")
                os._exit(0 if BalsamJob.objects.filter(name__startswith="child").exists() else 1)
            children.append(pid)
            add_job(name=f"parent{number}", workflow="w")
        ended = [os.waitpid(pid, 0)[1] for pid in children]
        stop.set()
        poller.join()
        def add(number):
            return str(add_job(name=f"pool{number}", workflow="w").pk)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pks = pool.map(add, range(4))
        print(ended, BalsamJob.objects.count(), BalsamJob.objects.filter(pk__in=pks).count())
        """
    ) == ["[0, 0, 0, 0] 13 4"]


@pytest.mark.usefixtures("each_database")
def test_threads_share_the_facade(facade: Facade) -> None:
    def work(number: int) -> int:
        (job,) = facade.add(f"job{number}")
        job.data["number"] = number
        job.save()
        job.update_state("RUN_DONE")
        return int(facade.BalsamJob.objects.get(pk=job.pk).data["number"])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(40))) == list(range(40))
    assert facade.BalsamJob.objects.filter(state="RUN_DONE", data__number__gte=0).count() == 40
