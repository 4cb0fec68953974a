"""What a site does now: one look at it, for people who watch."""
