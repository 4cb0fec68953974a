"""Why a job failed, from its history: one function per kind of failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from balsam_core.explain.facts import Advice, Excerpt, Explanation, JobFacts, Move
from balsam_core.explain.words import exit_words, first_line, named, sentence, short
from balsam_core.state.machine import State
from balsam_core.state.moves import BECAUSE_OF_PARENT, WAITING


@dataclass(frozen=True)
class _Failure:
    """A failed job, with the event of its failure and the one before."""

    facts: JobFacts
    last: Move
    before: Move | None


def why_failed(facts: JobFacts) -> Explanation:
    """Of a job that is FAILED."""
    if not facts.moves:
        return Explanation(("Why is not known: it has no history.",), advice=(_retry(facts),))
    last = facts.moves[-1]
    failure = _Failure(facts, last, facts.moves[-2] if len(facts.moves) > 1 else None)
    if last.message.startswith("by hand"):
        return _by_hand(failure)
    if State(last.from_state) in WAITING and last.message.startswith(BECAUSE_OF_PARENT):
        return _because_of_parent(failure)
    if facts.app is None and last.from_state in _BEFORE_RUN:
        return Explanation((sentence(last.message),), advice=no_application(facts, again=True))
    return _KINDS.get(last.from_state, _otherwise)(failure)


def run_ended(facts: JobFacts, end: Move | None) -> tuple[str, ...]:
    """How the run ended that an event tells of: by an exit code, a signal, a time limit, or without a start."""
    if end is None:
        return ("How its last run ended is not known.",)
    attempt = f"Attempt {end.attempt}"
    if end.to_state == State.RUN_TIMEOUT.value:
        return (sentence(f"{attempt} was stopped: {_told(end)}"),)
    code = facts.job.exit_code
    if code is None:
        return (sentence(f"{attempt} could not be started: {_told(end)}"),)
    return (sentence(f"{attempt} {exit_words(code)}"), *_more(end))


def printed(facts: JobFacts, end: Move | None) -> tuple[Excerpt, ...]:
    """The end of the job's output; when the file is gone, what the event kept of it."""
    if facts.output is not None:
        return (facts.output,)
    kept = end.message.partition(": ")[2].splitlines() if end is not None else []
    return (Excerpt("the end of its output, from its history", "", tuple(kept)),) if len(kept) > 1 else ()


def no_application(facts: JobFacts, *, again: bool) -> tuple[Advice, ...]:
    """What to do about an application that there is not. again: the job has failed for it."""
    name, job = facts.job.application, short(facts.job.job_id)
    if name:
        missing = Advice("Define the application", f"balsam app --name {name} --executable COMMAND")
    else:
        missing = Advice("Name an application", f"balsam modify {job} application NAME")
    return (missing, _retry(facts)) if again else (missing,)


def _run_error(failure: _Failure) -> Explanation:
    facts, end = failure.facts, failure.before
    sentences = [*run_ended(facts, end)]
    if failure.last.message:
        sentences.append(sentence(f"Then it failed: {first_line(failure.last.message)}"))
    sentences += [sentence(f"On this host {wrong}") for wrong in facts.missing]
    return Explanation(
        tuple(sentences), printed(facts, end) + _script(facts), (_retry(facts, "When that is repaired"),)
    )


def _run_timeout(failure: _Failure) -> Explanation:
    facts, end = failure.facts, failure.before
    sentences = (*run_ended(facts, end), sentence(f"Then it failed: {first_line(failure.last.message)}"))
    longer = Advice("Give it more time", f"balsam modify {short(facts.job.job_id)} timeout_seconds SECONDS")
    advice = (longer, _retry(facts)) if facts.job.timeout_seconds is not None else (_retry(facts),)
    return Explanation(sentences, printed(facts, end) + _script(facts), advice)


def _script_failed(failure: _Failure) -> Explanation:
    facts = failure.facts
    sentences = [sentence(f"Its {first_line(failure.last.message)}")]
    sentences += [sentence(f"On this host {wrong}") for wrong in facts.missing]
    return Explanation(tuple(sentences), _script(facts), (_retry(facts, "When the script is repaired"),))


def _staging_failed(failure: _Failure) -> Explanation:
    facts = failure.facts
    advice = (_retry(facts, "When the files are in their place"),)
    return Explanation((sentence(failure.last.message),), _script(facts), advice)


def _because_of_parent(failure: _Failure) -> Explanation:
    facts, root = failure.facts, failure.facts.root
    sentences = [sentence(f"It never began: {failure.last.message}")]
    if root is None:
        return Explanation(
            (*sentences, "That parent is not there any more, or has not failed now."), advice=(_retry(facts),)
        )
    sentences.append(f"It began with {named(root.name, root.job_id)}, which is {root.state}.")
    if root.state is State.USER_KILLED:
        away = f"balsam modify {short(facts.job.job_id)} wait_for_parents False"
        return Explanation(
            tuple(sentences),
            advice=(
                Advice("A job that is USER_KILLED stays so: add it anew, or let this one go without its parents", away),
                _retry(facts, "Then"),
            ),
        )
    parent = short(root.job_id)
    return Explanation(
        tuple(sentences),
        advice=(
            Advice(f"See why {named(root.name, root.job_id)} failed", f"balsam explain {parent}"),
            Advice("When that is repaired, send it back with all that waits for it", f"balsam retry {parent}"),
        ),
    )


def _by_hand(failure: _Failure) -> Explanation:
    last = failure.last
    told = last.message.removeprefix("by hand").removeprefix(": ")
    words = f"It was moved from {last.from_state} to FAILED by hand" + (f": {told}" if told else "")
    return Explanation((sentence(words),), advice=(_retry(failure.facts),))


def _otherwise(failure: _Failure) -> Explanation:
    last = failure.last
    words = f"It failed in {last.from_state}" + (f": {last.message}" if last.message else "; why was not recorded")
    return Explanation((sentence(words),), advice=(_retry(failure.facts),))


def _retry(facts: JobFacts, text: str = "Send it back to be run again") -> Advice:
    return Advice(text, f"balsam retry {short(facts.job.job_id)}")


def _script(facts: JobFacts) -> tuple[Excerpt, ...]:
    return (facts.script_log,) if facts.script_log is not None else ()


def _told(end: Move) -> str:
    return first_line(end.message) or "no reason was recorded"


def _more(end: Move) -> tuple[str, ...]:
    """What the message says besides the exit code, as that the disk was full."""
    said = first_line(end.message).partition(": ")[0].partition(", ")[2]
    return (sentence(said),) if said else ()


_BEFORE_RUN = frozenset({State.CREATED.value, State.READY.value, State.STAGED_IN.value})

_KINDS: Mapping[str, Callable[[_Failure], Explanation]] = {
    State.RUN_ERROR.value: _run_error,
    State.RUN_TIMEOUT.value: _run_timeout,
    State.STAGED_IN.value: _script_failed,
    State.RUN_DONE.value: _script_failed,
    State.READY.value: _staging_failed,
    State.POSTPROCESSED.value: _staging_failed,
}
