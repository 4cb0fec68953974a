"""The history of the database schema, run by alembic."""
