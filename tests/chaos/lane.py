"""Runs one seed after another, as standard input asks for them; answers each with a line of JSON.

python -m tests.chaos.lane FOLDER DATABASE...
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from time import monotonic

from tests.chaos.ground import Ground, ground
from tests.chaos.plan import plan
from tests.chaos.storm import Found, run
from tests.chaos.verdict import complaints

LATE = (  # what the program imports only when it needs it
    "alembic.command",
    "distributor.addressing",
    "distributor.delivery.worker",
    "distributor.editions",
    "distributor.explain",
    "distributor.posts",
    "distributor.rendering.pictures",
    "distributor.ways",
    "anyio._backends._asyncio",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    *(
        f"distributor.providers.email.{vendor}"
        for vendor in ("brevo", "mailgun", "mailjet", "postmark", "resend", "sendgrid", "ses", "smtp")
    ),
    "distributor.providers.email.sparkpost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run, counted."""

    seed: int
    database: str
    about: str
    is_certain: bool
    seconds: float
    complaints: list[str]
    did: dict[str, int]
    faults: int
    deliveries: int
    states: dict[str, int]
    doubled: int
    lost: int
    doubtful: int
    workspace: str = ""  # of a run that failed
    said: str = field(default="")


def main() -> None:
    folder, databases = Path(sys.argv[1]), tuple(sys.argv[2:])
    for module in LATE:  # so that no child has to
        import_module(module)
    gc.freeze()
    os.environ["SSL_CERT_DIR"] = str(folder)  # no TLS here, and certificates take each worker 30 ms to read
    with ground(folder) as own:
        for line in sys.stdin:
            print(json.dumps(asdict(outcome(int(line), databases, own))), flush=True)


def outcome(seed: int, databases: tuple[str, ...], own: Ground) -> Outcome:
    planned = plan(seed, databases)
    began_at = monotonic()
    field_ = own.field(planned)
    found = Found()
    try:
        found = run(planned, own, field_)
        wrong = complaints(planned, found)
    except Exception as error:
        wrong = [f"the run broke off: {type(error).__name__}: {error}"]
    if not wrong:
        own.clear(field_)
    lost = sum(
        row["key"] not in found.accepted and row["state"] in ("accepted", "queued", "sending")
        for row in found.deliveries
    )
    return Outcome(
        seed=seed,
        database=planned.database,
        about=f"{'+'.join(planned.vendors)}, {planned.workers} workers, {planned.shape.readers} readers "
        f"in {planned.shape.size}s",
        is_certain=planned.is_certain,
        seconds=round(monotonic() - began_at, 2),
        complaints=wrong,
        did=dict(found.did),
        faults=found.faults,
        deliveries=len(found.deliveries),
        states=dict(Counter(row["state"] for row in found.deliveries)),
        doubled=sum(count > 1 for count in found.accepted.values()),
        lost=lost,
        doubtful=found.doubtful,
        workspace=str(field_.folder) if wrong else "",
        said=found.said[-2000:] if wrong else "",
    )


if __name__ == "__main__":
    main()
