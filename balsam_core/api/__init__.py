"""The Python API: a site's jobs, waiting for them, and an executor whose calls are jobs. Users import `balsam_core`."""
