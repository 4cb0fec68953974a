"""The import paths `balsam.service.*` of Balsam 0.5."""
