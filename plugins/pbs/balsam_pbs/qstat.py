"""Reads what `qstat -f -F json` prints, also where it is no valid JSON: job by job, each with its attributes.

Releases of PBS print variables of the user unescaped, leading zeros as numbers, the key "Jobs" several times, or a
brace too few (github.com/openpbs/openpbs: issues 1255, 2541, pull requests 585, 1033). So whatever cannot be decoded
is read line by line, and one job spoils no other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_ID = r"\d+(?:\[[^\]\n]*\])?(?:\.[^\s\"]+)?"
_STATE = '"job_state"'
_ANSWER = re.compile(r"^[ \t]*\{", re.MULTILINE)
_JOB = re.compile(rf'^([ \t]*)"({_ID})"[ \t]*:[ \t]*\{{[ \t]*$', re.MULTILINE)
_SECTION = re.compile(r'\s*"([^"]+)"\s*:\s*\{\s*$')
_VALUE = re.compile(r'\s*"([^"]+)"\s*:\s*(?:"(.*)"|([^"{\s].*?))\s*,?\s*$')
_END = re.compile(r"\s*\}\s*,?\s*$")


@dataclass
class Answer:
    """jobs: the attributes of each job by its id, those of a section as `Resource_List.walltime`, all as text.

    unreadable: what was printed of jobs that cannot be read.
    """

    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def read_jobs(text: str) -> Answer | None:
    """The jobs in an answer, with or without lines around it; None: there is no answer in `text`."""
    start = _ANSWER.search(text)
    if start is None:
        return None
    try:
        whole, end = _DECODER.raw_decode(text, start.end() - 1)
    except (ValueError, RecursionError):
        return _job_by_job(text)
    if _JOB.search(text, end):
        return _job_by_job(text)
    return _decoded(whole) if whole.keys() & {"Jobs", "pbs_server", "timestamp"} else None


def _decoded(whole: Mapping[str, Any]) -> Answer:
    answer = Answer()
    jobs = whole.get("Jobs", {})
    if not isinstance(jobs, dict):
        return Answer(unreadable=[json.dumps(jobs)])
    for job_id, attributes in jobs.items():
        if isinstance(attributes, dict) and isinstance(attributes.get("job_state"), str):
            answer.jobs[job_id] = dict(_flat(attributes))
        else:
            answer.unreadable.append(json.dumps({job_id: attributes}))
    return answer


def _job_by_job(text: str) -> Answer | None:
    """Each job from the line that opens it to the next one; None: no line opens a job."""
    answer = Answer()
    opened = _opening_lines(text)
    if not opened:
        return None
    before = text[: opened[0].start()]
    if _STATE in before:
        answer.unreadable.append(before.strip())
    for job, end in zip(opened, [*(job.start() for job in opened[1:]), len(text)], strict=True):
        attributes = _attributes(_body(text[job.end() : end], indent=job[1]))
        if job[2] is not None and "job_state" in attributes:
            answer.jobs[job[2]] = attributes
        else:
            answer.unreadable.append(text[job.start() : end].strip())
    return answer


def _opening_lines(text: str) -> list[re.Match[str]]:
    """The lines that open a job, and those that seem to: they stand where the first one stands."""
    first = _JOB.search(text)
    return list(re.finditer(rf'{_JOB.pattern}|^({first[1]})"(?!Jobs").*$', text, re.MULTILINE)) if first else []


def _body(block: str, indent: str | None) -> str:
    """The lines of one job; none when its end was cut off, or when another job begins unseen.

    The last line that may close the job does: a function among its variables has such lines, too.
    """
    closed = list(re.finditer(rf"^{indent}\}}", block, re.MULTILINE))
    return block[: closed[-1].start()] if closed and block.count(_STATE) == 1 else ""


def _attributes(body: str) -> dict[str, str]:
    try:
        return dict(_flat(_DECODER.decode(f"{{{body}}}")))
    except (ValueError, RecursionError):
        return _line_by_line(body)


def _line_by_line(body: str) -> dict[str, str]:
    """What the lines say that can be read; of several values of one name the first, which PBS itself has printed."""
    attributes: dict[str, str] = {}
    section = ""
    for line in body.splitlines():
        if opens := _SECTION.match(line):
            section = f"{opens[1]}."
        elif _END.match(line):
            section = ""
        elif value := _VALUE.match(line):
            attributes.setdefault(section + value[1], value[3] if value[2] is None else value[2])
    return attributes


def _flat(attributes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in attributes.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)


def _joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, in which a section that is printed twice has the content of both."""
    joined: dict[str, Any] = {}
    for name, value in pairs:
        before = joined.get(name)
        joined[name] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return joined


# Numbers stay as they are printed: qstat leaves out the quotes where a name is made of digits.
_DECODER = json.JSONDecoder(object_pairs_hook=_joined, parse_int=str, parse_float=str, parse_constant=str, strict=False)
