"""Serves a site as web pages: what goes on now, the jobs, one job, the history as charts, figures for monitoring."""
