"""What happens to a job between two states: parents, staging, scripts, recovery."""
