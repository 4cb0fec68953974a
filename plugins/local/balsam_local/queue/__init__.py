"""The queue of the scheduler `local`: batch jobs of one user on one host, kept in files.

`python -m balsam_local.queue` is its command. A runner, one process for each queue's folder, starts batch jobs in the
order of their submission. It lives while there is something to run, and holds a lock on a file: that is how everybody
knows that it lives. All of this needs the standard library only.
"""
