"""How often the same may be asked: by one who asks, by the network they are in, for one mailbox.

Counted in memory, by each process for itself: what is protected, a stranger's mailbox, gets one question a
day whatever is counted here (`Reception.subscribe`). One-click requests to leave are never counted: a mail
service sends them for all of its users.
"""

from __future__ import annotations

import math
import time
from ipaddress import ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

# Requests from our own forms; and from others, on the publisher's pages or a spammer's.
STAMPED = (RateLimitItemPerMinute(30, 10, "stamped"), RateLimitItemPerMinute(120, 10, "stamped network"))
BARE = (RateLimitItemPerMinute(15, 10, "bare"), RateLimitItemPerMinute(60, 10, "bare network"))
MAILBOX = (RateLimitItemPerHour(5, 1, "mailbox"), RateLimitItemPerDay(10, 1, "mailbox a day"))
READER = RateLimitItemPerHour(10, 1, "reader")  # what costs more than a page, or sends a mail

TOKEN = RateLimitItemPerMinute(1200, 1, "token")  # of the API


class Rates:
    """Counts; each method gives the seconds to wait, 0 where there is no need to."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def requester(self, ip: str, *, is_stamped: bool) -> int:
        """One more from an address of the Internet, with a stamp of ours or without."""
        alone, together = STAMPED if is_stamped else BARE
        return self._one_more(alone, own(ip)) or self._one_more(together, network(ip))

    def mailbox(self, address: str) -> int:
        """One more for an e-mail address, under whichever of its names."""
        return next((wait for limit in MAILBOX if (wait := self._one_more(limit, mailbox(address)))), 0)

    def reader(self, token: str) -> int:
        """One more by whoever holds a token."""
        return self._one_more(READER, token)

    def token(self, id_: int) -> int:
        """One more with a token for the API."""
        return self._one_more(TOKEN, str(id_))

    def _one_more(self, limit: RateLimitItem, who: str) -> int:
        if self._limiter.hit(limit, who):
            return 0
        again_at = self._limiter.get_window_stats(limit, who).reset_time
        return max(1, math.ceil(again_at - time.time()))


def mailbox(address: str) -> str:
    """What addresses have in common that reach one mailbox: no tag (RFC 5233), and at Gmail no dots."""
    local, _, domain = address.lower().strip().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def own(ip: str) -> str:
    """Who asks: an IPv4 address, or the /64 that one household has (RFC 6177)."""
    return _within(ip, 32, 64)


def network(ip: str) -> str:
    """A /24, or a /56."""
    return _within(ip, 24, 56)


def _within(ip: str, four: int, six: int) -> str:
    try:
        address = ip_address(ip)
    except ValueError:  # a socket of the system's
        return ip
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return str(ip_network((address, four if address.version == 4 else six), strict=False))
