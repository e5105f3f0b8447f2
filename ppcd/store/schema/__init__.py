"""The schema: numbered .sql files that `ppcd.store.migrate` applies in order; none ever changes."""
