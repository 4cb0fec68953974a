"""Batch scripts: what every one holds, and what cannot break out of one."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from balsam_core.batch.script import margin_seconds, render_script
from balsam_core.errors import ConfigError
from balsam_core.models.batch import BatchRequest
from balsam_core.plugins import Command, CommandResult, Scheduler, StatusReport
from balsam_core.settings import TemplateSettings
from balsam_core.site import Site
from tests.helpers import make_request

SHARED = "balsam_templates:_launch.sh.j2"


class Toy(Scheduler):
    name = "toy"
    job_id_variable = "TOY_JOB_ID"

    def __init__(self, template: str = SHARED) -> None:
        self.template = template

    def template_values(self, request: BatchRequest) -> Mapping[str, object]:
        return {"walltime": f"{request.time_limit_minutes}:00"}

    def submit_command(self, request: BatchRequest, script: str, dry_run: bool) -> Command | None:
        return Command(("toysub", script))

    def parse_submit(self, result: CommandResult) -> str:
        return result.stdout

    def status_command(self, ids: Sequence[str], user: str) -> Command:
        return Command(("toystat", *ids))

    def parse_status(self, ids: Sequence[str], result: CommandResult) -> StatusReport:
        return StatusReport()

    def cancel_command(self, ids: Sequence[str]) -> Command:
        return Command(("toydel", *ids))

    def parse_cancel(self, ids: Sequence[str], result: CommandResult) -> frozenset[str]:
        return frozenset(ids)


def render(
    site: Path, settings: TemplateSettings | None = None, environ: Mapping[str, str] | None = None, **fields: object
) -> str:
    return render_script(
        Toy(),
        make_request(**fields),
        Site(site),
        settings or TemplateSettings(),
        environ=environ or {},
        python="/opt/my python/bin/python",
    )


def test_a_script_runs_the_launcher_of_the_submitting_python_and_site_and_passes_signals_on(tmp_path: Path) -> None:
    given = {"file": "", "modules": ("cray-python",), "exports": {"OMP_PLACES": "cores; rm -rf /"}}
    settings = TemplateSettings(**given, pre_commands=("ulimit -c 0",), post_commands=("sync",))
    environ = {"BALSAM_LAUNCHER__LEASE_SECONDS": "30", "BALSAM_JOB_ID": "1", "BALSAM_SITE__DATABASE": "with password"}
    script = render(Path("/home/ada/my site"), settings, environ, wf_filter="it's", mpi="srun", gpus_per_node=4)
    assert (
        script
        == """\
cd /site/qsubmit || exit 1
# The submit command ran in the C locale; jobs run in the user's.
unset LC_ALL
type module >/dev/null 2>&1 || . /etc/profile
module load cray-python
export BALSAM_LAUNCHER__LEASE_SECONDS=30
export OMP_PLACES='cores; rm -rf /'
export PATH='/opt/my python/bin':"$PATH"
export BALSAM_DB_PATH='/home/ada/my site'
ulimit -c 0

launcher= signalled=
# The warning before the walltime, a cancellation and the end of the walltime: all end the launcher gracefully.
trap 'signalled=1; [ -z "$launcher" ] || kill -TERM "$launcher" 2>/dev/null' TERM INT HUP USR1
'/opt/my python/bin/python' -m balsam_core launcher --job-mode mpi '--wf-filter=it'"'"'s' \
--time-limit-minutes=28.50 --launch-id=00000000-0000-0000-0000-000000000001 --mpi=srun --gpus-per-node=4 &
launcher=$!
[ -z "$signalled" ] || kill -TERM "$launcher" 2>/dev/null
while :; do
    signalled=
    wait "$launcher"
    status=$?
    # A signal cuts the wait short; the launcher may need a while to stop its jobs.
    [ -n "$signalled" ] && [ "$status" -gt 128 ] || break
done
sync
exit "$status"
""".replace("\\\n", "")
    )


def test_a_signalled_script_waits_for_its_launcher_and_has_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "python"
    launcher.write_text(
        "#!/bin/sh\ntrap 'sleep 0.3; echo stopped; exit 3' TERM\necho up\nwhile :; do sleep 0.05; done\n"
    )
    launcher.chmod(0o755)
    request = make_request(workdir=str(tmp_path))
    script = render_script(Toy(), request, Site(tmp_path), TemplateSettings(), environ={}, python=str(launcher))
    with subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        assert shell.stdout
        shell.stdin.write(script)
        shell.stdin.close()
        assert shell.stdout.readline() == "up\n"
        shell.terminate()
        assert shell.stdout.read() == "stopped\n"
        assert shell.wait(60) == 3


def test_a_template_of_the_site_beats_the_plugin_s_and_sees_the_same_values(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    text = "#TOY -t {{ scheduler.walltime }} -R {{ variables.room }}\n{% include '_launch.sh.j2' %}"
    (tmp_path / "templates" / "mine.j2").write_text(text)
    settings = TemplateSettings(file="mine.j2", variables={"room": "R12"})
    assert render(tmp_path, settings).startswith("#TOY -t 30:00 -R R12\ncd /site/qsubmit || exit 1\n")


@pytest.mark.parametrize(
    ("template", "variables", "said"),
    [
        ("{{ nonsense }}", {}, "'nonsense' is undefined"),
        ("{{ request.queue }}", {}, "a value that the template prints is not set"),
        ("#TOY {{ variables.x }}", {"x": "a\n#TOY -q other"}, "holds a newline or a control character"),
        ("{% if %}", {}, "Expected an expression"),
        ("{% include 'other.j2' %}", {}, "there is no template 'other.j2', neither in"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_named(
    tmp_path: Path, template: str, variables: dict[str, str], said: str
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "mine.j2").write_text(template)
    with pytest.raises(ConfigError) as caught:
        render(tmp_path, TemplateSettings(file="mine.j2", variables=variables))
    assert said in str(caught.value)


@pytest.mark.parametrize("wrong", ["{{ request.queue }}", "{{ nonsense }}", "{% if %}"])
def test_the_line_of_a_template_that_cannot_be_rendered_is_named(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "mine.j2").write_text(f"#!/bin/bash\n{{% if true %}}\n{wrong}\n{{% endif %}}\n")
    with pytest.raises(ConfigError, match=r"^the template mine\.j2, line 3, for 'toy' cannot be rendered: "):
        render(tmp_path, TemplateSettings(file="mine.j2"))


def test_a_variable_with_a_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'A;B' is no name of a variable"):
        render(tmp_path, TemplateSettings(exports={"A;B": "1"}))


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 15), (10, 30), (60, 120), (1440, 120)])
def test_the_launcher_ends_a_part_of_its_time_before_the_batch_job_does(minutes: int, seconds: float) -> None:
    assert margin_seconds(minutes) == seconds
