"""Runs one call of a function that an application names: `python -m balsam_core.function MODULE:FUNCTION [ARGS]`.

The words after it are the arguments, as strings. The exit code is 1 when the function raised, and its traceback is in
the output. Processes that are kept warm (`balsam_core/launcher/nursery.py`) make their calls with what is here, too;
each page of memory that they have is paid for at each fork, so that what only a failure needs is imported then.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Where a call leaves what its function returned, in the working directory; the worker reads it when it is JSON.
RESULT_VARIABLE = "BALSAM_RESULT_FILE"
# Ranks of a program under MPI: the first one's result counts.
_RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "PALS_RANKID", "ALPS_APP_PE", "SLURM_PROCID")


class NoFunction(Exception):
    """What an application names is no function; the message says why in one line."""


def main(words: Sequence[str]) -> int:
    """Run the call; the exit code."""
    if words and words[0] == "--check":
        return _check(words[1])
    use_search_path()
    try:
        function = load(words[0])
    except NoFunction as error:
        if error.__cause__ is not None:
            print_traceback(error.__cause__)
        print(error, file=sys.stderr)
        return 1
    result_file = _result_file()
    try:
        remove_results(result_file)
    except OSError as error:
        print(f"cannot remove the result of an earlier attempt: {error}", file=sys.stderr)
        return 1
    return call(function, words[1:], result_file)


def load(target: str) -> Callable[..., Any]:
    """The function `module:name` or `/folder/file.py:name`. Raises NoFunction."""
    module_name, _, path = target.rpartition(":")
    if module_name.endswith(".py"):
        folder, file = os.path.split(module_name)
        sys.path.insert(0, folder)
        module_name = file.removesuffix(".py")
    try:
        found: Any = importlib.import_module(module_name)
    except BaseException as error:  # SystemExit and the like, too: the module is the user's
        raise NoFunction(f"cannot import {module_name!r}: {_in_one_line(error)}") from error
    for name in path.split("."):
        owner, found = found, getattr(found, name, _MISSING)
        if found is _MISSING:
            raise NoFunction(f"{module_name!r} has no function {path!r}{_nearest(name, owner)}")
    if not callable(found):
        raise NoFunction(f"{target!r} is no function: it is of type {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def call(function: Callable[..., Any], arguments: Sequence[str], result_file: str) -> int:
    """Call it, with its traceback on stderr when it raises, and keep what it returns in that file; the exit code."""
    try:
        value = function(*arguments)
        if value is not None and result_file:
            _keep(value, result_file)
    except SystemExit as error:
        return _exit_code(error)
    except BaseException as error:
        print_traceback(error)
        return 1
    return 0


def use_search_path() -> None:
    """Look for modules in the site's folder last, and not in the current one, which is the job's."""
    if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - a word of sys.path
        del sys.path[0]
    site = os.environ.get("BALSAM_DB_PATH")
    if site and site not in sys.path:
        sys.path.append(site)


def pickle_name(result_file: str) -> str:
    """The file of a result that is no JSON."""
    return f"{result_file.removesuffix('.json')}.pickle"


def _keep(value: Any, file: str) -> None:
    try:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        file = pickle_name(file)
        data = _pickled(value)
    # Whole or not at all, whatever happens meanwhile.
    partial = f"{file}.{os.getpid()}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.rename(partial, file)  # noqa: PTH104 - pathlib is slow, and this is once per call
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)  # noqa: PTH108 - as above
        raise


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:
        # It takes what pickle does not: functions of functions, classes of a notebook.
        import cloudpickle

        pickled: bytes = cloudpickle.dumps(value)
        return pickled


def remove_results(file: str) -> None:
    """Remove what an earlier attempt has left; no file: nothing."""
    for name in (file, pickle_name(file)) if file else ():
        if os.access(name, os.F_OK):  # an exception for each call would cost more
            os.unlink(name)  # noqa: PTH108 - pathlib is slow, and this is once per call


def _result_file() -> str:
    is_first = all(os.environ.get(name, "0") == "0" for name in _RANKS)
    return os.environ.get(RESULT_VARIABLE, "") if is_first else ""


def print_traceback(error: BaseException) -> None:
    """Print it without its first frame, which is ours and says nothing about the call; it loses that frame."""
    import traceback

    traceback.print_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))


def _exit_code(error: SystemExit) -> int:
    """As an interpreter ends for `sys.exit(...)`."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1


def _check(target: str) -> int:
    use_search_path()
    try:
        load(target)
    except NoFunction as error:
        print(error)
        return 1
    return 0


def _nearest(name: str, owner: object) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [one for one in dir(owner) if callable(getattr(owner, one, None))], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


_MISSING = object()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
