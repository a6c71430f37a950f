"""Faults on order: which call is spoilt, and how."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.simulator.networks import NETWORKS
from tests.simulator.vendors import VENDORS

EFFECTS = {  # effect -> the moment at which its rule counts
    # HTTP
    "delay": "call",  # answers `seconds` later
    "busy": "call",  # 429, with Retry-After if `retry_after` is given
    "error": "call",  # 500, nothing accepted
    "gateway": "call",  # 502, nothing accepted
    "gateway_after": "call",  # 502, everything accepted
    "reset": "call",  # the connection is reset before the body is read
    "reset_after": "call",  # everything accepted, and reset without a word
    "drip": "call",  # accepted, and the answer takes `seconds`
    "half": "call",  # accepted, and the answer breaks off in the middle
    "html": "call",  # accepted, and a page of HTML instead of an answer
    "refuse": "call",  # the addresses meant are refused one by one, where the vendor can
    "bad_address": "call",  # the whole call is refused if an address is meant, where the vendor can
    "quota": "call",  # the day's quota is used up
    "unauthorized": "call",  # the key is wrong
    "unknown": "call",  # an error code that nobody has heard of
    # SMTP
    "smtp_421": "connect",  # instead of a greeting
    "smtp_450": "rcpt",  # not now, for the addresses meant
    "smtp_550": "rcpt",  # never
    "smtp_hang_up_at_data": "data",
    "smtp_hang_up_after_dot": "dot",  # accepted, and gone without a word
    "smtp_451_after_dot": "dot",  # not accepted
}
BESIDES = {"delay", "refuse"}  # do not decide how a call ends; several of them and one other may meet


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One fault: every call, or those said, of a vendor, until it was used *count* times.

    A call counts as used when its head has come; whether it has an address that is meant shows later.
    """

    effect: str
    vendor: str = "any"
    path: str = ""  # a pattern within the path; without it, only calls that send are meant
    nth: Sequence[int] = ()  # 1 is the first that the rule has seen
    probability: float = 1.0
    seed: int = 0
    count: int | None = None
    seconds: float = 0.0  # delay, drip
    retry_after: float | None = None  # busy, quota
    pattern: str = ""  # of the addresses meant, and
    every: int = 1  # every nth of a call's addresses; of SMTP: every nth that the rule has seen

    def __post_init__(self) -> None:
        if self.effect not in EFFECTS:
            raise ValueError(f"no effect is called {self.effect}; there are {', '.join(EFFECTS)}")
        if self.vendor not in ("any", "smtp", *VENDORS, *NETWORKS):
            known = ", ".join((*VENDORS, *NETWORKS))
            raise ValueError(f"no vendor is called {self.vendor}; there are {known} and smtp")

    def means(self, addresses: Iterable[str]) -> list[int]:
        """The places of the addresses meant."""
        wanted = re.compile(self.pattern)
        return [
            place
            for place, address in enumerate(addresses)
            if (place + 1) % self.every == 0 and wanted.search(address)
        ]


@dataclass
class Fault:
    """A rule, and how often it was seen and used."""

    rule: Rule
    seen: int = 0
    used: int = 0
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.rule.seed)

    def strikes(self) -> bool:
        """Whether this call is one of those meant."""
        rule = self.rule
        self.seen += 1
        if rule.count is not None and self.used >= rule.count:
            return False
        if EFFECTS[rule.effect] == "rcpt" and self.seen % rule.every:
            return False
        return self.seen in rule.nth if rule.nth else self._dice.random() < rule.probability


@dataclass(frozen=True)
class Struck:
    """What befalls one call: how it ends, and what else."""

    end: Rule | None = None
    besides: Sequence[Rule] = ()

    @property
    def delay(self) -> float:
        return sum(rule.seconds for rule in self.besides if rule.effect == "delay")

    @property
    def refusals(self) -> list[Rule]:
        return [rule for rule in self.besides if rule.effect == "refuse"]


NOTHING = Struck()


class Faults:
    """The rules in force, in the order in which they were given; of two that end a call, the first does."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, rules: Iterable[dict[str, Any]]) -> None:
        self._faults += [Fault(Rule(**rule)) for rule in rules]

    def clear(self) -> None:
        self._faults.clear()

    def strike(self, vendor: str, moment: str, *, path: str = "", sends: bool = True, to: str = "") -> Struck:
        if not self._faults:
            return NOTHING
        end, besides = None, []
        for fault in self._faults:
            if not _concerns(fault.rule, vendor, moment, path, sends, to) or not fault.strikes():
                continue
            if fault.rule.effect in BESIDES:
                besides.append(fault.rule)
            elif end is None:
                end = fault.rule
            else:
                continue
            fault.used += 1
        return Struck(end, besides)

    def state(self) -> list[dict[str, Any]]:
        return [{**asdict(fault.rule), "seen": fault.seen, "used": fault.used} for fault in self._faults]


def _concerns(rule: Rule, vendor: str, moment: str, path: str, sends: bool, to: str) -> bool:
    if EFFECTS[rule.effect] != moment or rule.vendor not in ("any", vendor):
        return False
    if vendor == "smtp" and moment == "call" and rule.effect != "delay":
        return False
    if moment == "rcpt":
        return bool(re.search(rule.pattern, to))
    return bool(re.search(rule.path, path)) if rule.path else sends
