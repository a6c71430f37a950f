"""From a `[providers.NAME]` table to what speaks for it."""

from __future__ import annotations

from pkgutil import resolve_name

from distributor.config import Provider
from distributor.providers.protocol import EmailProvider
from distributor.vendors import VENDORS


def email_provider(settings: Provider) -> EmailProvider:
    """The provider that a table describes; only its own file is imported."""
    found: EmailProvider = resolve_name(f"distributor.providers.email.{VENDORS[settings.type].at}")(settings)
    return found
