"""The pilot: works the jobs of a site off inside an allocation."""
