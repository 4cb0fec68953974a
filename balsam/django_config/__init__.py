"""The import paths `balsam.django_config.*` of Balsam 0.5."""
