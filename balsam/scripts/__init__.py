"""The import paths `balsam.scripts.*` of Balsam 0.5."""
