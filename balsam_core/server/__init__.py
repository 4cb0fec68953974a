"""The private PostgreSQL cluster of a site: made, started, stopped and looked after."""
