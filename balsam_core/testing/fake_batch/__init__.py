"""Fake batch schedulers for tests: commands of PBS and Cobalt over a folder, which print what real ones printed.

A small queue really runs the batch scripts: so many nodes, first come first served, a detached process per batch job.
Two faces of it answer in the words, exit codes and tables of OpenPBS 23.06.06 and Cobalt 1.0.33, as recorded in
November 2026. All but `handle.py` is what the commands run, and needs the standard library only.
"""
