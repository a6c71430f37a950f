"""What becomes of posts whose article has changed, or was taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import Literal

from sqlalchemy import Connection

from distributor.articles import registry
from distributor.articles.shelf import Entry, Shelf
from distributor.config import Channel
from distributor.delivery.routes import outbox_name, way_name
from distributor.errors import DistributorError, Refused
from distributor.model import Article, Campaign, CampaignState, Post
from distributor.posts import POST, Posts
from distributor.store import alerts, campaigns, freezing, hands
from distributor.store import articles as article_store
from distributor.store import posts as store
from distributor.store.database import Database
from distributor.store.posts import Open, PostRow
from distributor.vendors import NETWORKS, OUTBOX

AT_ONCE = 5  # posts of a channel that are deleted without asking; more look like a mistake
OPEN = (
    CampaignState.AWAITING_APPROVAL,
    CampaignState.SCHEDULED,
    CampaignState.SENDING,
    CampaignState.PAUSED,
)
NOT_NEEDED = "what it answers to is no longer so"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roundup:
    """A roundup, and what it is to say."""

    campaign: Campaign
    rows: tuple[PostRow, ...]  # of all that it names
    entries: tuple[Entry, ...]  # what of it stays
    better: Post | None  # what it would say of them

    @property
    def ids(self) -> dict[str, int]:
        return {article.key: id_ for id_, article in self.entries}

    @property
    def leaving(self) -> list[PostRow]:
        stay = {id_ for id_, _ in self.entries}
        return [row for row in self.rows if row.article not in stay]


class Corrections:
    """Plans what is to be changed, answered or deleted on networks."""

    def __init__(self, database: Database, shelf: Shelf, posts: Posts) -> None:
        self._database = database
        self._shelf = shelf
        self._posts = posts

    def plan(self, now: datetime) -> list[Campaign]:
        """Freeze what the changes since the last look want.

        Raises:
            DistributorError: the first of those that could not be made; the others were.
        """
        made: list[Campaign | None] = []
        failures: list[DistributorError] = []
        for name in self._posts.channels:
            with self._database.read() as db:
                returned = store.returned(db, name)
                unfit = store.unfit(db, name, self._posts.channel(name).network)
            for row, withdrawal in returned:
                self._keep(row, withdrawal)
            with self._database.read() as db:
                changed = store.changed(db, name)
                withdrawn = [row for row, _, is_public in changed if not is_public and self._is_new(db, row)]
            asks = sum(row.state == "up" for row in withdrawn) > AT_ONCE
            rows = (*(row for row, _ in unfit), *(row for row, _, _ in changed))
            roundups = {row.roundup for row in rows if row.roundup}
            steps: list[Callable[[], Campaign | None]] = [
                *(partial(self._make_fit, row, key, now) for row, key in unfit if not row.roundup),
                *(partial(self._withdraw, row, now, asks=asks) for row in withdrawn if not row.roundup),
                *(partial(self._revise, name, root, now, asks=asks) for root in sorted(roundups)),
                *(
                    partial(self._correct, row, key, now)
                    for row, key, is_public in changed
                    if is_public and not row.roundup
                ),
            ]
            for step in steps:
                try:
                    made.append(step())
                except DistributorError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
        return [campaign for campaign in made if campaign is not None]

    def withdraw(self, article_id: int, channels: Sequence[str], now: datetime) -> list[Campaign]:
        """Take an article's posts back, whatever the channels usually do."""
        with self._database.read() as db:
            rows = [row for name in channels for row in store.posts_on(db, name, article_id)]
        made = [
            self._revise(row.channel, row.roundup, now, without=article_id)
            if row.roundup
            else self._withdraw(row, now, by_hand=True)
            for row in rows
        ]
        return [campaign for campaign in made if campaign is not None]

    # --- taking back ---

    def _is_new(self, db: Connection, row: PostRow) -> bool:
        """Whether something is to be done yet about a post whose article was taken back."""
        if row.state == "planned":
            return True
        if self._posts.channel(row.channel).withdraw == "keep":
            return False
        return campaigns.campaign_at(db, row.channel, f"withdraw {row.campaign}") is None

    def _withdraw(
        self, row: PostRow, now: datetime, *, asks: bool = False, by_hand: bool = False
    ) -> Campaign | None:
        channel = self._posts.channel(row.channel)
        with self._database.write() as db:
            article_store.lock(db)
            if store.post_of(db, row.campaign) != row:  # what was read is old: it is looked at again
                return None
            if row.state == "planned":
                return self._not_posted(db, row.channel, row.campaign)
            open_ = store.open_on(db, row.channel, row.campaign)
            if any(_is_awaited(one) for one in open_) or self._is_going_on(db, row):
                if by_hand:
                    raise Refused(f"{row.channel}: something is being done to the post; try again after that")
                return None  # where the post then stands is not known yet
            self._drop(db, (one for one in open_ if one.action == "reply"))
            if store.posted_through(db, row.campaign) == _trial(channel, row):
                store.gone(db, row.campaign)  # a folder only
                return None
            slot = f"withdraw {row.campaign}"
            if by_hand:
                slot = _free(db, row.channel, f"{slot} by hand")
            return self._deleted(db, row, slot, now, asks=asks)

    def _deleted(
        self, db: Connection, row: PostRow, slot: str, now: datetime, *, asks: bool
    ) -> Campaign | None:
        channel = self._posts.channel(row.channel)
        if (cannot := _cannot_delete(db, channel, row)) is not None:
            return self._told(db, row, slot, cannot, now)
        gone = Post(network=channel.network, text="", action="delete", of=row.receipt, of_campaign=row.root)
        why = f"{AT_ONCE} posts at most are deleted without asking" if asks else "its article was taken back"
        self._tell_answers(db, row, now)
        return self._freeze(db, row, slot, gone, now, reason=why, asks=asks)

    def _is_going_on(self, db: Connection, row: PostRow) -> bool:
        """Whether a thread of which a part was refused is being tried again."""
        has_parts = store.standing(db, row.campaign) is not None
        return has_parts and bool(store.open_on(db, row.channel, row.campaign, itself=True))

    def _keep(self, row: PostRow, withdrawal: int) -> None:
        """Let a post stay whose article is public again, unless its network was already told to delete it."""
        with self._database.write() as db:
            article_store.lock(db)
            open_ = store.open_on(db, row.channel, row.root)
            mine = [one for one in open_ if one.campaign == withdrawal]
            if store.post_of(db, row.campaign) != row or any(one.is_tried for one in mine):
                return
            self._drop(db, mine)
            store.undo_withdrawal(db, row.root, withdrawal)

    def _drop(self, db: Connection, waiting: Iterable[Open]) -> None:
        """Cancel what waits to be done to a post."""
        for one in waiting:
            if not one.is_under_way:
                hands.hold(db, one.campaign)
                campaigns.change_state(
                    db, one.campaign, CampaignState.CANCELLED, only_from=OPEN, reason=NOT_NEEDED
                )
                hands.cancel(db, one.campaign, reason=NOT_NEEDED)

    def _tell_answers(self, db: Connection, row: PostRow, now: datetime) -> None:
        """Answers to a post do not go with it."""
        if found := store.answers(db, row.channel, row.root):
            alerts.raise_alert(
                db,
                f"answers {row.channel} {row.root}",
                f"{row.channel}: a post is taken back; delete what was answered to it by hand: "
                + ", ".join(found),
                now=now,
            )

    def _not_posted(self, db: Connection, name: str, root: int) -> Campaign | None:
        """Cancel a post that is still waiting, or was refused; one that is under way is looked at again."""
        hands.hold(db, root)
        found = campaigns.campaign_of(db, root)
        if found is None or found.state is CampaignState.CANCELLED:
            return None
        if any(one.is_under_way for one in store.open_on(db, name, root, itself=True)):
            return None
        reason = "its article was taken back before it was posted"
        over = (*OPEN, CampaignState.DONE)  # done: it was refused, and is not to be tried again
        campaigns.change_state(db, root, CampaignState.CANCELLED, only_from=over, reason=reason)
        hands.cancel(db, root, reason=reason)
        store.gone(db, root)
        return campaigns.campaign_of(db, root)

    # --- correcting ---

    def _correct(self, row: PostRow, key: str, now: datetime) -> Campaign | None:
        with self._database.read() as db:
            [(id_, article)] = self._shelf.named(db, [key], now=now)
            before = campaigns.rendition_of(db, row.rendition)
            found = campaigns.campaign_of(db, row.campaign)
        told = registry.told(article)
        if not isinstance(before, Post):  # it has been aged out: what it said is not known any more
            with self._database.write() as db:
                store.know(db, row.campaign, told)
            return None
        try:
            better = self._posts.render(row.channel, article, found.created_at if found else now)
        except Refused:
            better = before  # the network takes nothing of it any more: what is there stays
        with self._database.write() as db:
            article_store.lock(db)
            if store.post_of(db, row.campaign) != row:  # what was read is old: it is looked at again
                return None
            is_same = _says(better) == _says(before)
            if row.state == "planned":
                if is_same:
                    store.know(db, row.campaign, told)
                else:
                    self._say_instead(db, row, better, id_, article)
                return None
            open_ = store.open_on(db, row.channel, row.campaign)
            if any(_is_awaited(one) for one in open_) or self._is_going_on(db, row):
                return None  # what the post then says, and where it stands, is not known yet
            if is_same and not any(one.is_tried and one.action != "reply" for one in open_):
                self._drop(db, open_)
                store.know(db, row.campaign, told)
                return None
            made = self._corrected(db, row, article, before, better, told, now)
            store.know(db, row.campaign, told)
            return made

    def _make_fit(self, row: PostRow, key: str, now: datetime) -> None:
        """Make a post that waits anew, for the network to which its channel posts now."""
        with self._database.read() as db:
            [(id_, article)] = self._shelf.named(db, [key], now=now)
            found = campaigns.campaign_of(db, row.campaign)
        try:
            better = self._posts.render(row.channel, article, found.created_at if found else now)
        except Refused:
            return  # it stays as it is, is refused when its time comes, and a person hears of it
        with self._database.write() as db:
            article_store.lock(db)
            self._say_instead(db, row, better, id_, article)

    def _say_instead(self, db: Connection, row: PostRow, better: Post, id_: int, article: Article) -> None:
        """A post that waits says at once what its article says now, unless a person approved of the words."""
        found = campaigns.campaign_of(db, row.campaign)
        if found and found.approved_content is None:
            hash_ = campaigns.keep_rendition(db, better, {article.key: id_})
            if store.replace_waiting(db, row.campaign, rendition=hash_):
                store.know(db, row.campaign, registry.told(article))

    def _corrected(
        self,
        db: Connection,
        row: PostRow,
        article: Article,
        before: Post,
        better: Post,
        told: bytes,
        now: datetime,
    ) -> Campaign | None:
        channel = self._posts.channel(row.channel)
        slot = _free(db, row.channel, f"correct {row.campaign} {told.hex()[:8]}")
        is_trial = store.posted_through(db, row.campaign) == _trial(channel, row)
        if channel.corrections == "none" or is_trial:
            return None
        if (cannot := _cannot_correct(db, channel, row)) is not None:
            return self._told(db, row, slot, cannot, now)
        if channel.corrections == "reply":
            content = self._posts.correction(row.channel, article, now)
        else:
            content = better
        content = replace(
            content, action=channel.corrections, of=row.receipt, of_campaign=row.campaign, articles=()
        )
        costs = channel.corrections != "edit"
        spent = self._posts.over_budget(db, row.channel, content, now) if costs else None
        what = {"edit": "edits", "reply": "answers", "repost": "posts anew"}[channel.corrections]
        reason = spent or f"{what} “{before.title}”"
        return self._freeze(db, row, slot, content, now, reason=reason, asks=spent is not None)

    # --- roundups ---

    def _revise(
        self, name: str, root: int, now: datetime, *, asks: bool = False, without: int | None = None
    ) -> Campaign | None:
        """Let a roundup say what its articles say now, without those taken back, or *without* one of them."""
        with self._database.read() as db:
            named = store.members(db, root)
            stay = [key for row, key, is_public in named if is_public and row.article != without]
            entries = self._shelf.named(db, stay, now=now)
            planned = campaigns.campaign_of(db, root)
        if not named or planned is None:
            return None
        better = self._rounded_up(name, entries, planned.created_at)
        with self._database.write() as db:
            article_store.lock(db)
            if store.members(db, root) != named:  # what was read is old: it is looked at again
                return None
            found = _Roundup(
                campaign=planned, rows=tuple(row for row, *_ in named), entries=tuple(entries), better=better
            )
            if found.rows[0].state == "planned":
                return self._say_less(db, found)
            return self._say_otherwise(db, found, now, asks=asks, by_hand=without is not None)

    def _rounded_up(self, name: str, entries: Sequence[Entry], at: datetime) -> Post | None:
        """What a roundup of these says; None of nothing, or where the network takes none any more."""
        try:
            return self._posts.roundup(name, [article for _, article in entries], at) if entries else None
        except Refused:
            return None

    def _say_less(self, db: Connection, found: _Roundup) -> Campaign | None:
        """Of a roundup that waits; one that is under way is looked at again."""
        root = found.campaign.id
        if found.better is None:
            return self._not_posted(db, found.campaign.channel, root)
        if found.campaign.approved_content is not None and not found.leaving:
            return None  # a person approved of the words
        hash_ = campaigns.keep_rendition(db, found.better, found.ids)
        if store.replace_waiting(db, root, rendition=hash_, even_tried=bool(found.leaving)):
            for row in found.leaving:
                store.gone(db, row.campaign)
            self._know(db, found)
            if found.campaign.approved_content is not None:
                again = "an article of it was taken back since it was approved"
                state = CampaignState.AWAITING_APPROVAL
                campaigns.change_state(db, root, state, only_from=OPEN, reason=again)
        return None

    def _say_otherwise(
        self, db: Connection, found: _Roundup, now: datetime, *, asks: bool, by_hand: bool
    ) -> Campaign | None:
        """Of a roundup that can be seen: change it, or take it back with the last of its articles."""
        row, name = found.rows[0], found.campaign.channel
        channel = self._posts.channel(name)
        open_ = store.open_on(db, name, row.root)
        if any(_is_awaited(one) for one in open_):
            if by_hand:
                raise Refused(f"{name}: something is being done to the post; try again after that")
            return None
        before = campaigns.rendition_of(db, row.rendition)
        self._know(db, found)
        if by_hand:
            for one in found.leaving:
                store.gone(db, one.campaign)
        if store.posted_through(db, row.root) == _trial(channel, row):
            return None
        if found.leaving and channel.withdraw == "keep" and not by_hand:
            return None
        is_same = (
            isinstance(before, Post) and found.better is not None and _says(found.better) == _says(before)
        )
        if is_same and not any(one.is_tried and one.action != "reply" for one in open_):
            self._drop(db, open_)
            return None
        if found.entries:
            return self._renamed(db, found, now, asks=asks)
        return self._deleted(db, row, f"withdraw {row.root}", now, asks=asks)

    def _renamed(self, db: Connection, found: _Roundup, now: datetime, *, asks: bool) -> Campaign | None:
        row = found.rows[0]
        channel = self._posts.channel(found.campaign.channel)
        if not found.leaving and channel.corrections == "none":
            return None
        policy: Literal["edit", "repost"] = "repost" if channel.corrections == "repost" else "edit"
        told = b"".join(registry.told(article) for _, article in found.entries)
        slot = _free(db, row.channel, f"correct {row.root} {sha256(told).hexdigest()[:8]}")
        cannot = _cannot_correct(db, channel.model_copy(update={"corrections": policy}), row)
        if cannot is None and found.better is None:
            cannot = "its article has changed, and the network takes no roundup: mend it by hand"
        if cannot is not None or found.better is None:
            return self._told(db, row, slot, f"in a roundup: {cannot}", now)
        content = replace(found.better, action=policy, of=row.receipt, of_campaign=row.root)
        spent = self._posts.over_budget(db, row.channel, content, now) if policy == "repost" else None
        reason = spent or "an article in the roundup has changed, or was taken back"
        is_held = asks or spent is not None
        return self._freeze(db, row, slot, content, now, reason=reason, asks=is_held, ids=found.ids)

    def _know(self, db: Connection, found: _Roundup) -> None:
        told = {id_: registry.told(article) for id_, article in found.entries}
        for row in found.rows:
            store.know(db, row.campaign, told.get(row.article, store.TAKEN_BACK))

    # --- writing down ---

    def _freeze(
        self,
        db: Connection,
        row: PostRow,
        slot: str,
        content: Post,
        now: datetime,
        *,
        reason: str,
        asks: bool = False,
        ids: Mapping[str, int] = MappingProxyType({}),
    ) -> Campaign | None:
        state = CampaignState.AWAITING_APPROVAL if asks else CampaignState.SCHEDULED
        campaign = self._add(db, row, slot, state, reason, now)
        if campaign is not None:
            hash_ = campaigns.keep_rendition(db, content, ids)
            freezing.freeze_post(db, campaign_id=campaign.id, rendition=hash_, due_at=now)
        return campaign

    def _told(self, db: Connection, row: PostRow, slot: str, why: str, now: datetime) -> Campaign | None:
        """Let a person know what cannot be done from here."""
        campaign = self._add(db, row, slot, CampaignState.SKIPPED, why, now)
        if campaign is not None:
            where = f": {row.receipt.url}" if row.receipt and row.receipt.url else ""
            alerts.raise_alert(db, f"cannot {campaign.id}", f"{row.channel}: {why}{where}", now=now)
        return campaign

    def _add(
        self, db: Connection, row: PostRow, slot: str, state: CampaignState, reason: str, now: datetime
    ) -> Campaign | None:
        is_skipped = state is CampaignState.SKIPPED
        return campaigns.add_campaign(
            db,
            Campaign(
                id=0,
                channel=row.channel,
                kind="post",
                slot=slot,
                state=state,
                created_at=now,
                due_at=now,
                priority=POST,
                through=0,
                candidates=1,
                excluded={reason: 1} if is_skipped else {},
                reason=reason,
            ),
        )


def _is_awaited(one: Open) -> bool:
    """Whether nothing else can be done to a post before this has ended; answers leave it as it is."""
    return one.action == "delete" or (one.is_under_way and one.action != "reply")


def _free(db: Connection, channel: str, slot: str) -> str:
    """*slot*, or the like where something was done in it before: an article may change to and fro."""
    free = slot
    while (before := campaigns.campaign_at(db, channel, free)) is not None:
        free = f"{slot} again {before.id}"
    return free


def _says(post: Post) -> tuple[object, ...]:
    """What readers see of a post."""
    pictures = tuple((picture.hash, picture.alt) for picture in post.pictures)
    return post.text, post.title, post.summary, post.link, pictures, post.more


def _cannot_delete(db: Connection, channel: Channel, row: PostRow) -> str | None:
    if row.receipt is None:
        return "its article was taken back, and nobody knows where the post stands: delete it by hand"
    if (elsewhere := _elsewhere(db, channel, row)) is not None:
        return f"its article was taken back, and it was posted through {elsewhere}: delete it by hand"
    if channel.account != OUTBOX and not NETWORKS[channel.network].deletes:
        return f"its article was taken back, and {channel.network} lets no program delete: do it by hand"
    return None


def _cannot_correct(db: Connection, channel: Channel, row: PostRow) -> str | None:
    network = NETWORKS[channel.network]
    if row.receipt is None:
        return "its article has changed, and nobody knows where the post stands: mend it by hand"
    if (elsewhere := _elsewhere(db, channel, row)) is not None:
        return f"its article has changed, and it was posted through {elsewhere}: mend it by hand"
    if channel.account == OUTBOX:
        return None
    if channel.corrections == "edit" and not network.edits:
        return f"its article has changed, and {channel.network} has no edits: see corrections"
    if channel.corrections == "reply" and not network.replies:
        return f"its article has changed, and a program cannot reply on {channel.network}"
    if channel.corrections == "repost" and not network.deletes:
        return f"its article has changed, and {channel.network} lets no program delete"
    return None


def _trial(channel: Channel, row: PostRow) -> str | None:
    """The folder into which a channel wrote before it had its account; None while it has none."""
    return None if channel.account == OUTBOX else outbox_name(row.channel)


def _elsewhere(db: Connection, channel: Channel, row: PostRow) -> str | None:
    """The account that has a post, where it is not the channel's own any more."""
    through = store.posted_through(db, row.root)
    return through if through not in (None, way_name(row.channel, channel)) else None
