"""What the history of a site says: nodes busy, jobs finished, hours used, why jobs failed; all of it only reads."""
