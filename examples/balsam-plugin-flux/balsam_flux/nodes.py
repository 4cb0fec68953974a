"""The node source `flux`: the hosts of the Flux instance that a batch job is."""

from __future__ import annotations

from balsam_core.plugins import Allocation, Command, LaunchError, Node, NodeSource, Probe


class FluxNodes(NodeSource):
    """flux-hostlist(1) names the hosts; all are taken to have what this one has."""

    name = "flux"

    def discover(self, probe: Probe) -> Allocation | None:
        """The hosts of the enclosing batch job; None outside of one."""
        job_id = probe.environ.get("FLUX_ENCLOSING_ID")
        if job_id is None:
            return None
        result = probe.run(Command(("flux", "hostlist", "--expand", "local")))
        hosts = list(dict.fromkeys(result.stdout.split()))
        if result.returncode != 0 or not hosts:
            said = " ".join(result.stderr.split()) or "nothing"
            raise LaunchError(f"flux hostlist does not name the hosts of {job_id!r}; it says: {said}")
        here = probe.hardware()
        nodes = tuple(
            Node(host, host, here.cpus, here.threads_per_core, here.gpus, here.memory_mb, here.numa, here.gpu_variable)
            for host in hosts
        )
        return Allocation(nodes, job_id=job_id)
