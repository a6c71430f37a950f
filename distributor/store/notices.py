"""The statements behind notices: mails to single readers, who join a campaign of their day one by one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update

from distributor.model import Campaign, CampaignState, DeliveryState
from distributor.store import campaigns, ledger
from distributor.store.dialect import insert_new
from distributor.store.schema import campaign, delivery


def add_recipient(db: Connection, new: Campaign, recipient: int, *, rendition: str, due_at: datetime) -> bool:
    """Queue the rendition for one more recipient of the campaign; False when they are in it already.

    That is its protection too: whoever asks again and again for the same reader is answered once a campaign.
    """
    found = campaigns.add_campaign(db, new) or campaigns.campaign_at(db, new.channel, new.slot)
    assert found is not None
    # Its row first: whoever would close the campaign waits, and then sees what is queued here.
    more = update(campaign).where(campaign.c.id == found.id).values(candidates=campaign.c.candidates + 1)
    with db.begin_nested() as part:
        db.execute(more)
        row = {"campaign": found.id, "recipient": recipient, "batch": 0}
        if not insert_new(db, delivery, row, key=["campaign", "recipient"]):
            part.rollback()
            return False
    values = {
        "campaign": found.id,
        "rendition": rendition,
        "recipients": f"[{recipient}]",
        "size": 1,
        "state": DeliveryState.QUEUED,
        "due_at": due_at,
    }
    number = ledger.add_batch(db, values)
    own = (delivery.c.campaign == found.id, delivery.c.recipient == recipient)
    db.execute(update(delivery).where(*own).values(batch=number))
    is_over = campaign.c.state == CampaignState.DONE
    again = {"state": CampaignState.SENDING, "tallied": False}
    db.execute(update(campaign).where(campaign.c.id == found.id, is_over).values(again))
    return True
