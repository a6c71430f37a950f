"""From a `[providers.NAME]` or `[channels.NAME]` table to what speaks for it."""

from __future__ import annotations

from pkgutil import resolve_name

from distributor.config import Channel, Provider
from distributor.providers.protocol import EmailProvider, SocialProvider, Webhook
from distributor.vendors import NETWORKS, VENDORS


def email_provider(settings: Provider) -> EmailProvider:
    """The provider that a table describes; only its own file is imported."""
    found: EmailProvider = resolve_name(f"distributor.providers.email.{VENDORS[settings.type].at}")(settings)
    return found


def webhook(settings: Provider) -> Webhook | None:
    """What reads the events of a provider; None where its webhook has no secret, or its vendor no webhook."""
    vendor = VENDORS[settings.type]
    if not vendor.hook or not any(getattr(settings.webhook, name) for name in vendor.signs_with):
        return None
    found: Webhook = resolve_name(f"distributor.providers.email.{vendor.hook}")(settings)
    return found


def social_provider(channel: Channel, *, media_url: str) -> SocialProvider:
    """The account that a channel names; only its network's own file is imported.

    *media_url* is where a network that fetches pictures itself finds them, by their names.
    """
    network = NETWORKS[channel.network]
    type_ = resolve_name(f"distributor.providers.social.{network.at}")
    found: SocialProvider = type_(channel, media_url=media_url) if network.fetches else type_(channel)
    return found
