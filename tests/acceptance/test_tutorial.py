"""What README and the pages of docs/ show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.transcript import Reader, Typed, commands, fits, plain_blocks, steps

ROOT = Path(__file__).parents[2]
_NEEDS = {"tutorial.md": pytest.mark.mpi}
_PAGES = [
    pytest.param(str(path.relative_to(ROOT)), marks=_NEEDS.get(path.name, ()))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if any(isinstance(step, Typed) for step in steps(path.read_text()))
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", _PAGES)
def test_every_command_prints_what_the_document_shows(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Reader(home) as reader:
        for typed, answer in reader.follow((ROOT / name).read_text()):
            said = f"{typed.output}\n--- stderr:\n{(tmp_path / 'stderr').read_text()[-2000:]}"
            assert fits(typed.output, answer.output), f"$ {typed.command}\n{answer.output}\n--- shown:\n{said}"
            # Whoever types a command sees an error that no transcript shows; `kill` and `wait` tell of other things.
            assert answer.code == 0 or not typed.command.startswith("balsam "), f"$ {typed.command}\n--- {said}"


def test_a_transcript_is_read_as_it_is_meant() -> None:
    document = "```python a.py\nprint(1)\n```\n\n```console\n$ cat <<X\n> 1\n> X\n1\n\n$ balsam launcher\n```\n"
    document += "\n```\nbalsam top\n```\n\n```console elsewhere\n$ balsam dashboard\n```\n"
    file, cat, launcher = steps(document)
    assert getattr(file, "text", "") == "print(1)\n"
    assert cat == Typed("cat <<X\n1\nX", "1")
    assert launcher == Typed("balsam launcher", "")
    assert list(commands(document)) == ["cat <<X\n1\nX", "balsam launcher", "balsam dashboard"]
    assert list(plain_blocks(document)) == ["balsam top\n"]


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("Added job a [0f4ecf9a-2164-44bf-9e4a-12da055d722a]", "Added job a [de43bea7-5c15-4e28-9e69-496521cb0ff2]", 1),
        ("Added job a [0f4ecf9a-2164-44bf-9e4a-12da055d722a]", "Added job b [de43bea7-5c15-4e28-9e69-496521cb0ff2]", 0),
        ("a\n...\nd", "a\nb\nc\nd", 1),
        ("a", "a\nb", 0),
    ],
)
def test_outputs_are_compared_but_for_what_varies(shown: str, printed: str, expected: int) -> None:
    assert fits(shown, printed) is bool(expected)
