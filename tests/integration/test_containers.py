"""What `docs/containers.md` says of command lines, variables and limits; `apptainer` is played by a script."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.launching import Site

DOCUMENT = (Path(__file__).parents[2] / "docs" / "containers.md").read_text()
# Skips the options and the image, as `apptainer exec [--option value]... IMAGE COMMAND` does, and is the command.
PLAYED = f"""#!{sys.executable}
import json, os, sys
with open("apptainer.json", "a") as file:
    print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]), file=file)
os.execv(sys.argv[5], sys.argv[5:])
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apptainer").write_text(PLAYED)
    (programs / "apptainer").chmod(0o755)
    site.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    yield site
    site.close()


def called(folder: Path) -> list[tuple[list[str], str, dict[str, str]]]:
    """Words, working directory and environment of each start of the played apptainer in a job's folder."""
    return [json.loads(line) for line in (folder / "apptainer.json").read_text().splitlines()]


def script(name: str) -> str:
    """A script of the document."""
    [text] = re.findall(rf"^```bash\n(# {re.escape(name)}:.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(text)


def test_a_container_gets_its_words_as_they_are_and_the_variables_of_its_job(site: Site) -> None:
    bind = f"--bind {site.folder}"
    site.app("sim", f"apptainer exec {bind} /images/sim.sif /bin/echo", envscript=str(envscript(site, "clean.sh")))
    job = site.add(application="sim", args="$HOME '* x'", environ_vars={"CUDA_VISIBLE_DEVICES": "1"})
    site.run()
    [(words, folder, environ)] = called(site.workdir(job))
    assert words == ["exec", "--bind", str(site.folder), "/images/sim.sif", "/bin/echo", "$HOME", "* x"]
    assert folder == str(site.workdir(job))
    own = {"BALSAM_JOB_ID": str(job), "BALSAM_DB_PATH": str(site.folder), "OMP_NUM_THREADS": "1"}
    assert own.items() <= environ.items()
    inside = {name.removeprefix("APPTAINERENV_"): value for name, value in environ.items() if "APPTAINERENV_" in name}
    assert inside == {**own, "CUDA_VISIBLE_DEVICES": "1"}


@pytest.mark.mpi
def test_in_mpi_mode_each_rank_is_a_container(site: Site) -> None:
    site.app("sim", f"apptainer exec --bind {site.folder} /images/sim.sif /bin/echo")
    job = site.add(application="sim", args="--size 3", ranks_per_node=2)
    site.run(mode="mpi")
    words = ["exec", "--bind", str(site.folder), "/images/sim.sif", "/bin/echo", "--size", "3"]
    ranks = called(site.workdir(job))
    assert [rank[0] for rank in ranks] == [words, words]
    assert sorted(rank[2]["PMI_RANK"] for rank in ranks) == ["0", "1"]


def test_declared_memory_limits_what_runs_together_and_an_envscript_what_a_job_takes(site: Site) -> None:
    site.app("take", f"{sys.executable} -c 'b = bytearray(300 * 2**20)'", envscript=str(envscript(site, "limits.sh")))
    # It takes more than it declares, and nobody minds.
    modest = site.add("modest", application="take", memory_mb=10)
    limited = site.add("limited", application="take", environ_vars={"LIMIT_MB": "200"})
    hopeless = site.add("hopeless", application="true", memory_mb=2000)
    alone = f"mkdir {site.folder}/lock && sleep 0.3 && rmdir {site.folder}/lock"
    big = [site.add(f"big{number}", alone, memory_mb=600, node_packing_count=4) for number in range(2)]
    site.run(BALSAM_NODES__MEMORY_MB="1000")
    assert site.state(modest) == "JOB_FINISHED"
    assert site.state(limited) == "FAILED"
    assert "MemoryError" in site.output(limited)
    assert site.state(hopeless) == "PREPROCESSED"
    assert "asks for 2000 MB per node, the node has 1000" in site.launchers[0].text
    assert [site.state(job) for job in big] == ["JOB_FINISHED", "JOB_FINISHED"]


def envscript(site: Site, name: str) -> Path:
    """A script of the document as a file."""
    file = site.folder / name
    file.write_text(script(name))
    return file
