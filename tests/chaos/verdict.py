"""What must hold after a storm, whatever happened in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from distributor.explain import VERDICTS
from distributor.model import DeliveryState
from tests.chaos.plan import REFUSES, Plan
from tests.chaos.storm import PLANNED_BY_ONE_VENDOR, Found


def complaints(plan: Plan, found: Found) -> list[str]:
    """Everything that is wrong; nothing, if the ledger is right."""
    return [
        *found.wrong,
        *(f"the simulator could not read: {said}" for said in found.unreadable),
        *_settled(found),
        *_nobody_twice(found),
        *_nobody_lost(plan, found),
        *_true(found),
        *_few_unclear(plan, found),
        *_shown(found),
    ]


def _settled(found: Found) -> Iterator[str]:
    if not found.is_quiet:
        yield "it never came to rest"
    for row in found.deliveries:
        if row["state"] in ("queued", "sending"):
            yield f"{row['key']} is still {row['state']}: {row['reason']}"
    for balance in found.balances:
        if balance["gap"]:
            yield f"the accounts do not add up: {balance}"
        waits = any(
            row["batch_state"] == "unclear" for row in found.deliveries if row["campaign"] == balance["id"]
        )
        had_it_all = balance["state"] == "skipped" and balance["candidates"] == balance["excluded"]
        if balance["state"] != ("sending" if waits else "done") and not had_it_all:
            yield f"a campaign is {balance['state']}: {balance}"


def _nobody_twice(found: Found) -> Iterator[str]:
    for key, count in found.accepted.items():
        if count > 1:
            yield f"{key} was accepted {count} times"
    for key, count in Counter(row["key"] for row in found.deliveries).items():
        if count > 1:
            yield f"{key} stands in the ledger {count} times"


def _nobody_lost(plan: Plan, found: Found) -> Iterator[str]:
    campaigns = 2 if plan.shape.size else 1
    if len(found.balances) != campaigns or len(found.deliveries) != campaigns * plan.shape.readers:
        gone = found.did["leave"]  # before it was planned
        if plan.shape.size or len(found.deliveries) + gone < plan.shape.readers:
            yield f"{len(found.deliveries)} deliveries of {len(found.balances)} campaigns"
    refuses = any(rule["effect"] in REFUSES for rule in plan.rules)
    for row in found.deliveries:
        if row["key"] in found.accepted:
            continue
        if row["state"] == "refused" and not refuses:
            yield f"{row['key']} was refused by nobody: {row['reason']}"
        if row["state"] == "skipped" and not found.did["leave"]:
            yield f"{row['key']} was skipped, and nobody left: {row['reason']}"


def _true(found: Found) -> Iterator[str]:
    """Who is accepted has it, and of nobody who has it the ledger says that they have not."""
    for row in found.deliveries:
        if row["state"] == "accepted" and row["key"] not in found.accepted:
            yield f"{row['key']} is accepted, and the provider never got it: {row}"
        if row["state"] in ("refused", "skipped") and row["key"] in found.accepted:
            yield f"{row['key']} is {row['state']}, and the provider has it: {row}"
    for key in found.accepted.keys() - {row["key"] for row in found.deliveries}:
        yield f"{key} was accepted, and the ledger knows nothing of it"


def _few_unclear(plan: Plan, found: Found) -> Iterator[str]:
    unclear = sum(row["state"] == "unclear" for row in found.deliveries)
    # Whoever left makes their call another one, which the provider does not know again.
    most = plan.shape.size or PLANNED_BY_ONE_VENDOR
    bound = found.did["leave"] * 2 * most if plan.is_certain else found.doubtful
    if unclear > bound:
        reasons = {row["reason"] for row in found.deliveries if row["state"] == "unclear"}
        yield f"{unclear} are unclear, where {bound} can be: {reasons}"


def _shown(found: Found) -> Iterator[str]:
    for state, told in found.verdicts:
        if not told.startswith(VERDICTS[DeliveryState(state)]):
            yield f"of one that is {state} a person is told: {told}"
