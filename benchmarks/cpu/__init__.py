"""The CPU suite: P1 to P10, each contender in a process of its own, as their pools fight.

`workload` says what a row measures, `mlp`, `text`, `cnn`, `transformer`, `expression` and `adam`
are the rows, `contenders` says who runs them, `worker` is the process of one, `rounds` lets them
take turns, `results` makes a row of the times, `suite` does all of it, `report` and
`chart` show it.
"""
