"""The site as programs use it: `from balsam_core import Site`."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from balsam_core.api.connections import connection
from balsam_core.api.jobs import Jobs
from balsam_core.errors import JobSpecError, SiteNotFound
from balsam_core.homes import expanded
from balsam_core.models.app import AppSpec
from balsam_core.models.wording import reasons
from balsam_core.site import Site as SiteFolder
from balsam_core.site import find_site, is_site


class Apps:
    """The applications of one site."""

    def __init__(self, folder: SiteFolder) -> None:
        self._folder = folder

    def add(
        self,
        name: str,
        executable: str,
        *,
        description: str = "",
        preprocess: str = "",
        postprocess: str = "",
        envscript: str = "",
    ) -> AppSpec:
        """Add an application; a command is stored as it is, so give absolute paths. Raises JobSpecError."""
        try:
            app = AppSpec(
                name=name,
                executable=executable,
                description=description,
                preprocess=preprocess,
                postprocess=postprocess,
                envscript=envscript,
            )
        except ValidationError as error:
            raise JobSpecError(reasons(error)) from None
        connection(self._folder).store.add_app(app)
        return app

    def query(self, name: str = "") -> list[AppSpec]:
        """The applications whose name holds `name`."""
        return connection(self._folder).store.apps(name)


class Site:
    """A site: its jobs and its applications. The database is opened when it is first needed.

    path: the site's folder; None: the active one (BALSAM_DB_PATH, else the current folder or the nearest above).
    Safe from threads and after a fork; it can be pickled. Raises SiteNotFound.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        if path is None:
            self._folder = find_site(os.environ, Path.cwd())
        else:
            absolute = expanded(path).absolute()
            if not is_site(absolute):
                raise SiteNotFound(f"{absolute} is not a site; make it one with `balsam init {absolute}`")
            self._folder = SiteFolder(absolute)
        self.jobs = Jobs(self._folder)
        self.apps = Apps(self._folder)

    @property
    def path(self) -> Path:
        """The site's folder."""
        return self._folder.path

    def close(self) -> None:
        """Close this process's connections to the database; it is opened again when it is needed."""
        connection(self._folder).close()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Site], tuple[str]]:
        return type(self), (str(self.path),)

    def __repr__(self) -> str:
        return f"Site({str(self.path)!r})"
