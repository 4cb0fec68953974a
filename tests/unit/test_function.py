"""Functions as applications: how they are named, loaded and called."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from uuid import UUID

import pytest

from balsam_core.function import NoFunction, call, load, pickle_name, remove_results, use_search_path
from balsam_core.launcher.command import job_words
from balsam_core.launcher.loop import _result_data
from balsam_core.launcher.modes import SerialMode
from balsam_core.models.app import AppSpec, called_function, names_function, resolved_command
from balsam_core.models.nodes import Node
from balsam_core.state.machine import State
from balsam_core.state.outcomes import End
from balsam_core.state.reports import Result, Start
from balsam_core.state.store import Store
from tests.helpers import NO_RERUNS, claim, make_job, make_launcher, put, temporary_store

RUNNER = [sys.executable, "-m", "balsam_core.function"]


@pytest.mark.parametrize("word", ["a:b", "a.b_2:c.d", "a.py:f", "/x y/a.py:f"])
def test_a_module_or_file_with_a_name_behind_a_colon_is_a_function(word: str) -> None:
    assert names_function(word)


@pytest.mark.parametrize("word", ["a", "a:", ":b", "a b:c", "http://a:80", "a:b/c", "2a:b", "C:1"])
def test_other_words_with_a_colon_are_programs(word: str) -> None:
    assert not names_function(word)


def test_the_command_of_a_function_is_stored_with_this_python(tmp_path: Path) -> None:
    (tmp_path / "prog:run").touch()
    assert resolved_command("mod:f --x", tmp_path) == " ".join([*RUNNER, "mod:f", "--x"])
    assert resolved_command("sub/m.py:f", tmp_path) == " ".join([*RUNNER, f"{tmp_path}/sub/m.py:f"])
    assert resolved_command("prog:run", tmp_path) == f"{tmp_path}/prog:run"
    assert job_words(make_job(args="1 'a b'"), AppSpec(name="a", executable="mod:f 0")) == [
        *RUNNER, "mod:f", "0", "1", "a b",
    ]  # fmt: skip
    assert called_function([*RUNNER, "mod:f", "1"]) == "mod:f"
    assert called_function([sys.executable, "-m", "other", "mod:f"]) is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("json:dums", "'json' has no function 'dums'; did you mean 'dumps'?"),
        ("json:decoder", "'json:decoder' is no function: it is of type module"),
        ("no_such:f", "cannot import 'no_such': ModuleNotFoundError: No module named 'no_such'"),
    ],
)
def test_what_is_no_function_is_told_in_one_line(target: str, said: str) -> None:
    with pytest.raises(NoFunction) as caught:
        load(target)
    assert str(caught.value) == said


def test_a_function_of_a_file_and_of_a_class_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "of_a_file.py").write_text("def f(x):\n    return x\n")
    assert load(f"{tmp_path}/of_a_file.py:f")("x") == "x"
    assert load("json:JSONEncoder.encode") is json.JSONEncoder.encode


def test_modules_are_looked_for_in_the_site_last_and_not_in_the_folder_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BALSAM_DB_PATH", "/site")
    monkeypatch.setattr(sys, "path", [str(tmp_path), "/lib"])
    use_search_path()
    assert sys.path == ["/lib", "/site"]


def test_a_result_is_json_else_a_pickle_and_none_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = "job.result.json"
    assert call(lambda *words: {"words": words}, ["é"], file) == 0
    assert (tmp_path / file).read_text() == '{"words": ["é"]}'
    remove_results(file)
    assert call(lambda: float("nan"), [], file) == 0
    assert [one.name for one in tmp_path.iterdir()] == [pickle_name(file)]
    assert str(pickle.loads((tmp_path / pickle_name(file)).read_bytes())) == "nan"
    remove_results(file)
    assert call(lambda: None, [], file) == 0
    assert list(tmp_path.iterdir()) == []
    assert [call(sys.exit, [], ""), call(lambda: sys.exit(3), [], ""), call(sys.exit, ["no"], "")] == [0, 3, 1]
    assert capsys.readouterr().err == "no\n"


def test_a_task_of_a_function_has_a_call_and_what_stays_the_same_starts_its_nursery() -> None:
    mode = SerialMode([Node("n", "n")], "", reuses_processes=True)
    mode.choose([make_job(state=State.PREPROCESSED, name="a job", args="1")], None)
    (flight,) = mode.flights.values()
    environ = {"BALSAM_JOB_ID": "x", "OMP_NUM_THREADS": "1"}
    task = mode.task(flight, AppSpec(name="a", executable="mod:f", envscript="/e.sh"), "/w", "out", environ)
    assert task.result == task.env["BALSAM_RESULT_FILE"] == "a_job.result.json"
    assert task.call is not None
    assert (task.call.arguments, task.call.own, task.call.reuse) == (
        ["1"],
        ["BALSAM_JOB_ID", "BALSAM_RESULT_FILE"],
        True,
    )
    assert task.argv[:2] == ["bash", "-c"]
    nursery = f"exec {sys.executable} -m balsam_core.launcher.nursery mod:f"
    assert task.call.nursery == ["bash", "-c", f"source /e.sh && {nursery}"]


def test_a_result_joins_what_the_data_of_a_job_holds_by_then(tmp_path: Path) -> None:
    store = temporary_store(tmp_path)
    ids = [put(store, State.PREPROCESSED, f"job{n}", data={"old": n}) for n in range(3)]
    launcher = make_launcher(store)
    claim(store, launcher)
    _report(store, launcher, ids, [{"result": [1]}, None, {"result": 2}])
    assert [store.job(job_id).data for job_id in ids] == [
        {"old": 0, "result": [1]},
        {"old": 1},
        {"old": 2, "result": 2},
    ]
    # Repeated, or after the job was taken away: nothing changes.
    _report(store, launcher, ids, [{"result": 9}] * 3)
    assert store.job(ids[0]).data == {"old": 0, "result": [1]}


def test_a_result_that_is_no_json_adds_nothing() -> None:
    assert [_result_data(text) for text in ("", "1", "{", "null")] == [None, {"result": 1}, None, {"result": None}]


def _report(store: Store, launcher: UUID, ids: list[UUID], added: list[dict[str, object] | None]) -> None:
    starts = [Start(job_id, 1, 1.0, "n", 4711, 1.0) for job_id in ids]
    ends = [Result(job_id, 1, End.DONE, 2.0, 0, 1.0, "", one) for job_id, one in zip(ids, added, strict=True)]
    store.report(launcher, starts, ends, NO_RERUNS)
