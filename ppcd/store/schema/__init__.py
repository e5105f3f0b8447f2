"""The schema: numbered .sql files, applied in order by `ppcd.store.migrate`, never changed afterwards."""
