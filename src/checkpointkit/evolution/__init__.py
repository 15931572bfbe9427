"""Formats that cannot drift: the lock file, its check, goldens, and stubs of migrations.

What decides is pure: `lockfile` is the text of the lock file, `diff` what differs between two
shapes, `stubs` the migration that it takes, `check` what is wrong with a schema, `integrity` with
the lock file, and `accept` what is new; `findings` is how it is said. `goldens` are stored
envelopes of each version, made once (`samples`, of `edges` and `strategies`) and kept for ever;
`judging` runs them. `project`, `loading`, `released` and `git` read what belongs to a project, and
`workspace` brings all of it together.
"""
