"""The import paths `balsam.core.*` of Balsam 0.5."""
