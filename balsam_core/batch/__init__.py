"""From a request for nodes to a batch job, and what became of it."""
