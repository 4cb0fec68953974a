"""What every command of a fake scheduler does: note the call, play faults, answer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from balsam_core.testing.fake_batch.faces import Answer, Asked, BadWords, face_of
from balsam_core.testing.fake_batch.faults import Faults, faults_of
from balsam_core.testing.fake_batch.folder import Folder
from balsam_core.testing.fake_batch.queue import Queue


def main() -> None:
    """`ROOT STATE COMMAND WORDS...`: a command; `ROOT STATE run N`: the runner of a batch job."""
    folder, name, words = Folder(Path(sys.argv[2])), sys.argv[3], sys.argv[4:]
    if name == "run":
        from balsam_core.testing.fake_batch.runner import run

        run(folder, int(words[0]))
        return
    answer = answer_to(folder, name, words)
    sys.stderr.write(answer.err)
    sys.stdout.write(answer.out)
    sys.stdout.flush()
    # The daemon's work is done; a reader who is gone is no fault of its.
    os._exit(answer.code)


def answer_to(folder: Folder, name: str, words: Sequence[str]) -> Answer:
    """Run a command, with the faults that are to be played."""
    folder.note_call([name, *words])
    faults = faults_of(name, folder.faults, os.environ)
    time.sleep(faults.delay_seconds)
    if faults.refuse is not None:
        code = face_of(folder.config).refusal if faults.exit_code is None else faults.exit_code
        return Answer(err=f"{faults.refuse}\n", code=code)
    if faults.exit_code is not None and faults.garbage is None:
        return Answer(code=faults.exit_code)
    answer = _act(folder, name, words, faults)
    time.sleep(faults.answer_delay_seconds)
    if faults.garbage is not None:
        return Answer(out=faults.garbage, code=faults.exit_code or 0)
    return answer


def _act(folder: Folder, name: str, words: Sequence[str], faults: Faults) -> Answer:
    run = face_of(folder.config).commands[name]
    with folder.locked():
        try:
            return run(Queue(folder, faults.forget_after_seconds), Asked(tuple(words), os.environ, Path.cwd()))
        except BadWords as bad:
            return bad.answer
