"""Formats that cannot drift: the lock file, its check, goldens, and stubs of migrations.

`project` reads what belongs to a project; everything that decides is pure: `lockfile` is the text
of the lock file, `diff` what differs between two shapes, `stubs` the migration that it takes,
`check` what is wrong, `accept` what is new. `goldens` are stored envelopes of each version, made
once (by `strategies`) and kept for ever.
"""
