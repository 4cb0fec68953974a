"""The states of jobs, and the database that keeps them."""
