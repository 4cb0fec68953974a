"""The batch script templates, as package data."""
