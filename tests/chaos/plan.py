"""What befalls one run: all of it decided beforehand, from its seed alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

DATABASES = ("sqlite", "postgresql")

HANDLE = ("resend", "brevo")  # know a call again
LOOK_UP = ("mailgun", "postmark", "mailjet", "sparkpost")  # can be asked what they accepted
NEITHER = ("sendgrid", "ses", "smtp")
# MailerSend is left out: each of its calls is followed by five seconds of waiting.

Rule = dict[str, Any]  # the fields of `tests.simulator.faults.Rule`


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is in the ledger when the storm begins."""

    readers: int
    size: int  # recipients of a batch, as it was frozen; 0: nothing is planned yet


SHAPES = (
    Shape(readers=40, size=2),
    Shape(readers=60, size=3),
    Shape(readers=90, size=5),
    Shape(readers=160, size=16),
    Shape(readers=130, size=0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happens from outside."""

    at: float  # seconds after the beginning of the storm
    what: str
    pick: float  # from 0 to 1: whom it meets, or how much of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    database: str
    vendors: tuple[str, ...]  # the second takes over where the first refuses or is down
    shape: Shape
    workers: int
    calls_per_second: int  # as the configuration limits them
    is_watched: bool  # the accounts are added up all the time, not only in the end
    rules: tuple[Rule, ...]
    events: tuple[Event, ...]
    seconds: float  # until everybody is killed

    @property
    def is_certain(self) -> bool:
        """Whether every vendor in it knows a call again, or can be asked."""
        return not set(self.vendors) & set(NEITHER)

    @property
    def may_sleep(self) -> bool:
        """Whether a worker may stand still for longer than a provider's look-up waits, and then go on.

        Nothing but a key at the provider helps against a call that leaves an hour late, when its absence was
        seen and it was made again.
        """
        return set(self.vendors) <= {"resend", *NEITHER}


def plan(seed: int, databases: tuple[str, ...] = DATABASES) -> Plan:
    dice = Random(seed)
    database = databases[seed % len(databases)]
    vendors = _vendors(dice)
    shape = dice.choice(SHAPES)
    seconds = dice.uniform(0.1, 1)
    return Plan(
        seed=seed,
        database=database,
        vendors=vendors,
        shape=shape,
        workers=dice.randint(1, 8),
        calls_per_second=dice.choice((20, 100, 1000, 1000)),
        is_watched=dice.random() < 0.3,
        rules=_rules(dice, vendors),
        events=_events(dice, database, seconds),
        seconds=seconds,
    )


def _vendors(dice: Random) -> tuple[str, ...]:
    first = dice.choice(dice.choice((HANDLE, LOOK_UP, NEITHER)))
    others = [vendor for vendor in HANDLE + LOOK_UP + NEITHER if vendor != first]
    return (first, dice.choice(others)) if dice.random() < 0.25 else (first,)


# --- faults of the provider ---

OVER_HTTP: Mapping[str, float] = {  # effect -> how probable it is among the others
    "busy": 3,
    "error": 2,
    "gateway": 2,
    "gateway_after": 3,
    "reset": 3,
    "reset_after": 4,
    "drip": 2,
    "half": 3,
    "html": 2,
    "refuse": 3,
    "bad_address": 3,
    "quota": 0.3,
    "unauthorized": 0.3,
    "unknown": 0.5,
}
OVER_SMTP: Mapping[str, float] = {
    "smtp_421": 1,
    "smtp_450": 2,
    "smtp_550": 2,
    "smtp_hang_up_at_data": 3,
    "smtp_hang_up_after_dot": 4,
    "smtp_451_after_dot": 2,
}
LOSES = frozenset(  # effects after which nobody knows what was accepted
    {
        *("error", "gateway", "gateway_after", "reset", "reset_after", "half", "html"),
        *("smtp_hang_up_at_data", "smtp_hang_up_after_dot"),
    }
)
REFUSES = frozenset({"refuse", "bad_address", "unknown", "smtp_550"})


def _rules(dice: Random, vendors: tuple[str, ...]) -> tuple[Rule, ...]:
    slow = {"effect": "delay", "probability": 0.9, "seconds": dice.uniform(0.005, 0.25)}
    rules = [slow | {"seed": dice.randrange(2**31)}]
    for vendor in vendors:
        weights = OVER_SMTP if vendor == "smtp" else OVER_HTTP
        for effect in _some(dice, weights, dice.randint(0, 5)):
            rules.append(_rule(dice, vendor, effect))
    return tuple(rules)


def _some(dice: Random, weights: Mapping[str, float], count: int) -> list[str]:
    return list(dict.fromkeys(dice.choices(list(weights), list(weights.values()), k=count)))


def _rule(dice: Random, vendor: str, effect: str) -> Rule:
    rule: Rule = {"effect": effect, "vendor": vendor, "seed": dice.randrange(2**31)}
    rule["probability"] = dice.uniform(0.02, 0.3)
    if effect in ("refuse", "bad_address", "smtp_450", "smtp_550"):
        rule["pattern"] = f"[{dice.randrange(10)}]@"
    if effect in ("busy", "quota"):
        rule["retry_after"] = dice.choice((None, 1, 20, 90))
    if effect == "drip":
        rule["seconds"] = dice.uniform(0.02, 0.3)
    if effect in ("quota", "unauthorized", "unknown"):
        rule["count"] = 1
    return rule


# --- what comes from outside ---

EVENTS: Mapping[str, float] = {
    "kill": 8,  # a worker by SIGKILL, and another begins
    "stop": 2,  # a worker is told to stop, and another begins
    "freeze": 2,  # a worker stands still (SIGSTOP) until something thaws it
    "thaw": 2,
    "jump": 2,  # the clock of all goes on by up to three minutes, so that leases and rests end
    "leave": 2,  # a reader unsubscribes
    "outage": 0.2,  # the provider is killed, and comes back
}
ON_A_SERVER: Mapping[str, float] = {
    "terminate": 5,  # a connection to the database ends
    "crash": 0.4,  # a backend is killed, so that the server ends all connections and recovers
}


def _events(dice: Random, database: str, seconds: float) -> tuple[Event, ...]:
    weights = {**EVENTS, **(ON_A_SERVER if database == "postgresql" else {})}
    names = dice.choices(list(weights), list(weights.values()), k=dice.randint(1, 14))
    events = [Event(at=dice.uniform(0, seconds), what=name, pick=dice.random()) for name in names]
    return tuple(sorted(events, key=lambda event: event.at))
