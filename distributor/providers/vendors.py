"""Which file speaks for which type of provider."""

from __future__ import annotations

from collections.abc import Callable

from distributor.config import Provider
from distributor.providers.email.outbox import Outbox
from distributor.providers.email.resend import Resend
from distributor.providers.protocol import EmailProvider

EMAIL: dict[str, Callable[[Provider], EmailProvider]] = {"outbox": Outbox, "resend": Resend}


def email_provider(settings: Provider) -> EmailProvider:
    """The provider that a `[providers.NAME]` table describes."""
    return EMAIL[settings.type](settings)
