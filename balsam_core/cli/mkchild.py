"""balsam mkchild: adds a child of the job that runs this command."""

from __future__ import annotations

from typing import Any

from balsam_core.cli.job_options import job_options
from balsam_core.cli.options import command


@command("mkchild")
@job_options
def mkchild(yes: bool, **options: Any) -> None:
    """Add a job that waits for the job named by BALSAM_JOB_ID, in its workflow unless --workflow is given."""
    import os

    from balsam_core.cli import adding
    from balsam_core.cli.context import current_folder, opened
    from balsam_core.cli.job_options import given_fields
    from balsam_core.errors import JobSpecError

    adding.require(options, ("name", "application"))
    parent_id = os.environ.get("BALSAM_JOB_ID")
    if not parent_id:
        raise JobSpecError(
            "BALSAM_JOB_ID is not set: mkchild works inside a job or its scripts; elsewhere: `balsam job --parents ID`"
        )
    with opened() as here:
        parent = here.store.find_job(parent_id)
        fields = adding.with_parents(given_fields(options, current_folder()), here.store)
        fields["parents"] = [parent.job_id, *fields.get("parents", ())]
        spec = adding.spec_of({"workflow": parent.workflow, **fields})
        adding.add_one(here.store, spec, yes=yes, skip_existing=False, message=f"spawned by {parent.cute_id}")
