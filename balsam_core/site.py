"""A site: the folder that holds a user's jobs, their database, settings and files."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from balsam_core.errors import ConfigError, SiteNotFound
from balsam_core.homes import expanded, home
from balsam_core.sharing import group_id, share_file, share_folder

if TYPE_CHECKING:
    from balsam_core.settings import Settings

MARKER = ".balsam-site"
SITE_VARIABLE = "BALSAM_DB_PATH"
_FOLDERS = ("log", "qsubmit", "templates")
# As statfs(2) and the clients' own mount(8) pages name them.
# fmt: off
_NETWORK_FILE_SYSTEMS = frozenset({
    "afs", "beegfs", "ceph", "cifs", "dvs", "fhgfs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs",
    "lustre", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
})
# fmt: on
_log = logging.getLogger(__name__)


class Site:
    """A site's folder and what lies in it; making one touches nothing on disk.

    path: the folder. environ: where variables that override settings are read from; None: this process's.
    """

    def __init__(self, path: Path | str, environ: Mapping[str, str] | None = None) -> None:
        self.path = Path(path)
        self._environ = environ

    def __repr__(self) -> str:
        return f"Site({str(self.path)!r})"

    @property
    def marker(self) -> Path:
        """The file that makes a folder a site; `balsam init` writes it last."""
        return self.path / MARKER

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.toml"

    @property
    def database_file(self) -> Path:
        """The SQLite file, used unless the settings name another database."""
        return self.path / "balsam.db"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def qsubmit(self) -> Path:
        """The scripts given to the scheduler, and their output."""
        return self.path / "qsubmit"

    @property
    def templates(self) -> Path:
        """The site's own script templates."""
        return self.path / "templates"

    @cached_property
    def settings(self) -> Settings:
        """The settings, read once. Raises ConfigError."""
        from balsam_core.settings import load_settings

        return load_settings(self.path, os.environ if self._environ is None else self._environ)

    @property
    def data(self) -> Path:
        """The folder of the job folders: `data`, unless [site] data_path names another."""
        data_path = self.settings.site.data_path
        return self.path / (expanded(data_path) if data_path else "data")


def is_site(path: Path) -> bool:
    """Whether the folder was made by `balsam init`."""
    try:
        return (path / MARKER).is_file()
    except OSError:
        return False


def find_site(environ: Mapping[str, str], cwd: Path) -> Site:
    """The active site: BALSAM_DB_PATH names it, else it is `cwd` or the nearest folder above. Raises SiteNotFound."""
    named = environ.get(SITE_VARIABLE)
    if named:
        return Site(_checked(Path(named)), environ)
    for folder in (cwd, *cwd.parents):
        if is_site(folder):
            return Site(folder, environ)
    raise SiteNotFound(f"no site in {cwd} or above; make one with `balsam init PATH` or use `. balsamactivate PATH`")


def _checked(folder: Path) -> Path:
    way_out = "use `. balsamactivate PATH` with a site, or `. balsamdeactivate`"
    folder = expanded(folder).absolute()
    if is_site(folder):
        return folder
    if not os.access(folder, os.F_OK):
        reason = "does not exist"
    elif not folder.is_dir():
        reason = "is not a folder"
    elif not os.access(folder, os.R_OK | os.X_OK):
        reason = "cannot be read"
    else:
        reason = "is not a site"
        way_out = f"make it one with `balsam init {folder}`, or {way_out}"
    raise SiteNotFound(f"{SITE_VARIABLE} is {folder}, which {reason}; {way_out}")


def create_site(
    path: Path,
    prepare: Callable[[Site], None] | None = None,
    environ: Mapping[str, str] | None = None,
    group: str | None = None,
) -> Site:
    """Makes the folder a site, for its owner alone (mode 0700 when it is new), and remembers it.

    prepare: makes the database; called before the folder counts as a site, so that after a failure `balsam init` can
    be repeated. group: of the members of this Unix group, too. A folder that holds other files may become a site; none
    of them is touched. Raises ConfigError when it is a site already, is not a folder, or cannot be written, and when
    the user is not in the group.
    """
    shared_with = None if group is None else group_id(group)
    environ = os.environ if environ is None else environ
    folder = expanded(path).absolute()
    site = Site(folder, environ)
    if is_site(folder):
        raise ConfigError(f"{folder} is a site already; use it with `. balsamactivate {folder}`")
    try:
        _make_folders(site, shared_with)
        made = _make_settings(site.settings_file)
        if prepare is not None:
            _prepare(site, prepare, made)
        if shared_with is not None:
            _share_files(site, shared_with)
        _write_new(site.marker, "This folder is a Balsam site.\n")
    except FileExistsError as error:
        taken = error.filename or folder
        raise ConfigError(f"{taken} is in the way; give `balsam init` another path") from error
    except OSError as error:
        raise ConfigError(
            f"cannot make a site in {folder}: {error.strerror}; give `balsam init` a path that you may write"
        ) from error
    remember_site(folder, environ)
    return site


def _make_settings(file: Path) -> bool:
    """Write the default settings unless there are some; whether they were written."""
    try:
        _write_new(file, _SETTINGS)
    except FileExistsError:
        return False
    return True


def _prepare(site: Site, prepare: Callable[[Site], None], made: bool) -> None:
    """Call `prepare`; what it wrote into new settings goes when it fails: the next `balsam init` begins anew."""
    try:
        prepare(site)
    except BaseException:
        if made:
            site.settings_file.unlink(missing_ok=True)
        raise


def _make_folders(site: Site, group: int | None) -> None:
    if not site.path.is_dir():
        site.path.parent.mkdir(parents=True, exist_ok=True)
        site.path.mkdir(mode=0o700)
        site.path.chmod(0o700)  # whatever the umask
    if group is not None:
        share_folder(site.path, group)
    for folder in (*(site.path / name for name in _FOLDERS), site.data):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if group is not None:
            share_folder(folder, group)


def _share_files(site: Site, group: int) -> None:
    share_file(site.settings_file, group)
    # SQLite gives the files that it makes beside its own the same mode; see sqlite.org/wal.html.
    for file in site.path.glob(f"{site.database_file.name}*"):
        share_file(file, group, writable=True)


def _write_new(file: Path, text: str) -> None:
    file.touch(mode=0o600, exist_ok=False)
    try:
        file.write_text(text, encoding="utf-8")
    except BaseException:
        # A part of it would be taken for the user's own.
        file.unlink()
        raise


# ---- known sites ----


def known_sites(environ: Mapping[str, str] | None = None) -> list[Path]:
    """The sites made by this user, oldest first, whether they still exist or not; an unreadable list is empty."""
    file = _sites_file(environ)
    try:
        return [] if file is None else [Path(path) for path in json.loads(file.read_text(encoding="utf-8"))["sites"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("cannot read the known sites in %s: %s", file, error)
        return []


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are of one folder; a link may lead to it."""
    return os.path.realpath(one) == os.path.realpath(other)


def remember_site(path: Path, environ: Mapping[str, str] | None = None) -> None:
    """Adds the site to the known ones; a home folder that cannot be written costs a warning, not the site."""
    file = _sites_file(environ)
    if file is None:
        _log.warning("cannot remember the site: no home folder is known; set HOME")
        return
    paths = [str(known) for known in known_sites(environ) if not is_same(known, path)] + [str(path)]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix="sites-", delete=False) as stream:
            json.dump({"schema_version": 1, "sites": paths}, stream, indent=2)
        Path(stream.name).replace(file)
    except OSError as error:
        _log.warning("cannot remember the site in %s: %s", file, error.strerror)


def _sites_file(environ: Mapping[str, str] | None) -> Path | None:
    folder = home(os.environ if environ is None else environ)
    return None if folder is None else folder / ".balsam" / "sites.json"


# ---- file systems ----


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """The type of the network file system (nfs, lustre, gpfs ...) that holds `path`; None: it is local or unknown.

    mounts: the text of /proc/mounts, see proc(5); None: this host's. `path` need not exist yet.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    real = Path(path).resolve()
    holder: tuple[int, str] = (-1, "")
    for fields in (line.split() for line in mounts.splitlines()):
        if len(fields) > 2:
            point = Path(_unescaped(fields[1]))
            # The longest mount point holds the path; of two on one folder, the later one hides the earlier.
            if real.is_relative_to(point) and len(point.parts) >= holder[0]:
                holder = (len(point.parts), fields[2])
    return holder[1] if holder[1] in _NETWORK_FILE_SYSTEMS else None


def _unescaped(word: str) -> str:
    """A mount point as it is; blanks, tabs, newlines and backslashes are octal in /proc/mounts."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(octal, character)
    return word


_SETTINGS = """\
# Settings of this Balsam site. Every line is a default or an example: remove the `#` and change it.
# A variable BALSAM_<SECTION>__<KEY> beats this file: BALSAM_LAUNCHER__LEASE_SECONDS=30.

[site]
# Where job folders lie, relative to this folder or absolute.
# data_path = "data"
# The URL of the database; empty: SQLite in this folder; "postgresql": a PostgreSQL server in this folder.
# database = ""
# SQLite's journal: "wal", or "delete" on a network file system (`balsam init` chooses).
# journal = "wal"
# Launchers warn when the disk of the job folders has fewer megabytes left.
# min_free_mb = 1000
# Of a PostgreSQL server in this folder: where its programs are (empty: they are looked for), the addresses on which
# it listens, joined by commas, and the files of a TLS certificate and its key.
# pg_bin = ""
# listen = "127.0.0.1"
# tls_certificate = ""
# tls_key = ""

[scheduler]
# What batch jobs are submitted to; `balsam plugin ls` lists the choices.
# name = "local"
# command_timeout_seconds = 30
# Whether batch jobs run on the host that submits them (SQLite serves no other); without it the scheduler says so.
# same_host = true

[mpi]
# What starts parallel programs; `balsam plugin ls` lists the choices.
# name = "mpiexec"

[nodes]
# auto: the first node source that knows this machine.
# source = "auto"
# What each node has, over what is found.
# cpus = 64
# threads_per_core = 4
# gpus = 0
# memory_mb = 192000

[launcher]
# A launcher that is silent for this long has lost its jobs to the next one.
# lease_seconds = 90
# Between SIGTERM and SIGKILL of a job.
# stop_grace_seconds = 5
# Automatic reruns of a job that ends with one of retry_codes soon after its start.
# max_retries = 0
# retry_codes = []
# retry_window_seconds = 20
# Automatic reruns of a job that met its own timeout.
# timeout_retries = 3
# How many pre- and postprocess scripts run at once, and for how long.
# num_transition_threads = 4
# script_timeout_seconds = 300
# default_job_mode = "serial"

[staging]
# Of files from and to other hosts: further tries of a file after trouble that may pass, files at a time, how long a
# server may send nothing, how long one job's staging may take in all.
# retries = 2
# at_once = 4
# silence_seconds = 60
# timeout_seconds = 3600

[template]
# The template of batch scripts; empty: the scheduler's own.
# file = ""
# What each batch job does first and last.
# modules = []
# exports = {}
# pre_commands = []
# post_commands = []

# [[queues]]
# name = "debug"
# max_nodes = 8
# max_minutes = 60

[local]
# Plays this many nodes on one host; 0: the host is one node.
# virtual_nodes = 0
# The queue of batch jobs on this host; and how long one that is to end may take.
# queue_path = "~/.balsam/queue"
# kill_grace_seconds = 10
"""
