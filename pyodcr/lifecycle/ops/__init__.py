"""The verbs, a file each: lock, refresh, check, act, record."""
