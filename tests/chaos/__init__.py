"""Everything at once: workers, database backends and the provider die and stumble, and the ledger is right.

    python -m tests.chaos --runs 1000 --seed 1

Each run is made of its seed alone: a small ledger, one to eight worker processes on SQLite or PostgreSQL, a
vendor with faults, and a storm of SIGKILLs. When it is over, one worker goes on until all is quiet, and every
message is accounted for against what the simulator accepted. `plan.py` says what befalls a run, `storm.py`
lets it happen, `verdict.py` says what must hold. Processes meet in another order each time, so a seed that
failed may have to be tried again a few times: `--runs 1 --seed N --times 20`.
"""
