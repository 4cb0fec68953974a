"""What README and the tutorial show is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.transcript import Reader, Typed, fits, steps

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name", ["README.md", pytest.param("docs/tutorial.md", marks=pytest.mark.mpi), "docs/api.md", "docs/functions.md"]
)
def test_every_command_prints_what_the_document_shows(name: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with Reader(home) as reader:
        for typed, printed in reader.follow((ROOT / name).read_text()):
            said = (tmp_path / "stderr").read_text()[-2000:]
            assert fits(typed.output, printed), f"$ {typed.command}\n{printed}\n--- shown:\n{typed.output}\n--- {said}"


def test_a_transcript_is_read_as_it_is_meant() -> None:
    document = "```python a.py\nprint(1)\n```\n\n```console\n$ cat <<X\n> 1\n> X\n1\n\n$ balsam launcher\n```\n"
    file, cat, launcher = steps(document)
    assert getattr(file, "text", "") == "print(1)\n"
    assert cat == Typed("cat <<X\n1\nX", "1")
    assert launcher == Typed("balsam launcher", "")


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
