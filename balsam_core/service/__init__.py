"""Keeps the right batch jobs in the queue while work remains."""
