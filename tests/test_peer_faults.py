"""What went wrong in the tools that people use today must not go wrong here.

`GUARDS` has each of those faults by number, with the tests that guard against it; most are where the rule
belongs, the others are below. Issues are named as their projects number them: Postiz (gitroomhq/postiz-app),
Mixpost (inovector/mixpost), Apprise (caronc/apprise), feediverse (edsu/feediverse), feed2toot, FeedEcho, and
listmonk, Ghost, Keila, Mautic, Buttondown and Mailtrain among the senders of newsletters.
"""

from __future__ import annotations

import ast
import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from distributor.app import App
from distributor.config import load
from distributor.delivery.routes import Route, SocialWay
from distributor.errors import TemplateError
from distributor.model import Answer, Batch, Campaign, Email
from distributor.vendors import NETWORKS
from tests import far_end
from tests.far_end import Recorder
from tests.providers.networks import (
    FAULTS,
    TEXT,
    Carrier,
    Described,
    Far,
    Fault,
    Killed,
    before,
    post,
    published,
)
from tests.simulator.calls import Reply, Request, page
from tests.simulator.networks import Network, Posted
from tests.simulator.networks.mastodon import invalid
from tests.workspace import MONDAY, Clock, mails, opened, subscribe, workspace, write_article

TESTS = Path(__file__).parent
GUARDS: Mapping[str, tuple[str, ...]] = {
    # --- social schedulers: most reported ---
    "social 1": ("test_peer_faults::test_an_error_elsewhere_posts_nothing_again",),
    "social 2": (
        "providers/test_networks::test_a_spoilt_call_never_makes_a_second_post",
        "providers/test_networks::test_two_spoilt_calls_never_make_a_second_post",
        "providers/test_threads::test_an_expired_container_is_not_taken_for_a_published_one",
    ),
    "social 3": ("providers/test_instagram::test_what_is_published_is_noted_before_it_is",),
    "social 4": (
        "test_peer_faults::test_an_article_posted_by_hand_is_not_posted_twice_nor_too_close",
        "planning/test_pacing::test_the_gap_is_kept_to_all_others",
    ),
    "social 5": (
        "test_peer_faults::test_a_post_that_does_not_move_says_why",
        "test_watch::test_an_account_that_takes_nothing_is_told_of",
    ),
    "social 6": ("providers/test_linkedin::test_success_without_a_post_is_no_success",),
    "social 7": ("test_peer_faults::test_every_new_entry_of_a_feed_has_its_post",),
    "social 8": (
        "providers/test_x::test_a_renewal_without_a_second_key_keeps_the_old_one",
        "providers/test_x::test_a_renewal_that_fails_for_a_moment_disconnects_nobody",
        "test_watch::test_a_key_is_told_of_at_each_of_its_moments",
    ),
    "social 9": ("providers/test_linkedin::test_a_version_that_is_no_longer_served_is_for_a_person",),
    "social 10": ("providers/test_x::test_its_address_is_never_taken_out_of_a_post",),
    "social 11": (
        "test_peer_faults::test_a_picture_arrives_as_large_as_its_network_takes_it",
        "rendering/test_pictures::test_quality_goes_before_size",
    ),
    "social 12": (
        "providers/test_x::test_pictures_are_uploaded_as_what_they_are",
        "rendering/test_pictures::test_the_bytes_decide_not_what_the_server_says",
    ),
    "social 13": ("providers/test_telegram::test_a_caption_has_less_room_than_a_text",),
    "social 14": (
        "test_instances::test_a_server_that_takes_more_is_given_more",
        "rendering/test_text::test_an_instance_may_allow_more",
    ),
    "social 15": (
        "providers/test_bluesky::test_links_can_be_clicked",
        "providers/test_bluesky::test_a_card_has_title_summary_and_picture",
        "providers/test_linkedin::test_a_link_has_a_card",
    ),
    "social 16": (
        "providers/test_bluesky::test_letters_are_counted_as_readers_see_them",
        "rendering/test_text::test_a_text_is_as_long_as_its_network_finds_it",
        "rendering/test_post::test_bluesky_shows_a_long_address_in_short",
    ),
    "social 17": (
        "test_peer_faults::test_a_picture_too_heavy_for_a_card_costs_no_post",
        "providers/test_bluesky::test_a_picture_that_is_too_large_is_refused_with_their_words",
    ),
    "social 18": (
        "test_peer_faults::test_a_post_that_is_refused_is_told_and_holds_up_no_other",
        "providers/test_linkedin::test_a_picture_that_is_being_processed_is_waited_for",
        "providers/test_linkedin::test_a_renewed_key_tells_when_a_person_is_needed",
    ),
    "social 19": (
        "planning/test_slots::test_a_schedule_keeps_the_clock_on_the_wall",
        "planning/test_pacing::test_quiet_hours_that_end_twice_are_kept_both_times",
        "test_peer_faults::test_times_do_not_hang_on_the_machines_zone",
    ),
    "social 20": (
        "providers/test_telegram::test_a_caption_has_less_room_than_a_text",
        "providers/test_discord::test_a_limit_is_obeyed_however_it_is_told",
    ),
    "social 21": (
        "rendering/test_post::test_whatever_an_article_says_its_post_fits",
        "test_posts::test_the_newest_go_out_where_a_day_has_no_room",
    ),
    "social 22": (
        "test_watch::test_a_key_that_ends_is_told_in_time",
        "rendering/test_hostile_pictures::test_what_compresses_badly_is_still_light_enough",
        "providers/test_networks::test_a_post_can_be_seen_as_it_was_meant",
        "test_peer_faults::test_a_month_of_silence_makes_no_flood",
        "test_peer_faults::test_a_database_that_is_lost_posts_nothing_again",
        "test_peer_faults::test_a_gateway_that_times_out_again_and_again_makes_no_second_post",
    ),
    # --- social tools: faults seen in source ---
    "source Postiz: alternative text": (
        "providers/test_networks::test_a_post_can_be_seen_as_it_was_meant",
        "rendering/test_post::test_alternative_texts_fit_and_are_never_empty",
    ),
    "source Postiz: X pictures": ("providers/test_x::test_pictures_are_uploaded_as_what_they_are",),
    "source Postiz: Slack": ("providers/test_slack::test_a_failure_is_told_in_the_body_whatever_the_status",),
    "source Postiz: older posts vanish": (
        "test_peer_faults::test_what_waited_for_an_account_is_posted_however_old_it_is",
    ),
    "source Postiz: errors swallowed": (
        "test_editions::test_what_cannot_be_made_stops_nothing_else",
        "test_peer_faults::test_a_post_that_is_refused_is_told_and_holds_up_no_other",
    ),
    "source Postiz: two articles in one hour": (
        "test_peer_faults::test_every_new_entry_of_a_feed_has_its_post",
    ),
    "source Mixpost: a key for each attempt": (
        "test_peer_faults::test_a_post_keeps_its_key_over_attempts_and_restarts",
        "providers/test_bluesky::test_a_repetition_has_the_same_bytes",
    ),
    "source Mixpost: deleting without a call": (
        "providers/test_networks::test_a_post_is_taken_back_once_and_for_all",
    ),
    "source Apprise: the key in the body, one for all": (
        "providers/test_mastodon::test_every_call_of_a_post_has_the_same_key_in_its_header",
        "test_peer_faults::test_a_post_keeps_its_key_over_attempts_and_restarts",
    ),
    "source Apprise: alternative text and links": (
        "providers/test_networks::test_a_post_can_be_seen_as_it_was_meant",
        "providers/test_bluesky::test_links_can_be_clicked",
    ),
    "source Apprise: a post for each picture": (
        "providers/test_networks::test_two_pictures_go_in_their_order",
    ),
    "source Apprise: parts that share a text": (
        "test_peer_faults::test_each_part_of_a_thread_says_its_own_words",
    ),
    "source feed2toot: a crash posts all again": (
        "test_peer_faults::test_a_run_that_is_killed_among_several_posts_makes_each_once",
    ),
    "source feed2toot: cut in an address": (
        "rendering/test_text::test_a_cut_breaks_nothing",
        "rendering/test_text::test_what_is_cut_keeps_its_parts_whole",
    ),
    "source feediverse: cut at 499, state at the end": (
        "rendering/test_text::test_what_is_fitted_fits",
        "test_peer_faults::test_a_run_that_is_killed_among_several_posts_makes_each_once",
    ),
    "source FeedEcho: silence is failure": (
        "providers/test_networks::test_a_spoilt_call_never_makes_a_second_post",
        "test_watch::test_an_unclear_post_is_told_with_the_command_that_settles_it",
    ),
    "source FeedEcho: one failure blocks the rest": (
        "test_peer_faults::test_a_post_that_is_refused_is_told_and_holds_up_no_other",
    ),
    "source FeedEcho: what left the feed is given up": (
        "test_peer_faults::test_what_was_given_up_is_told_and_goes_out_once_when_a_person_says_so",
        "test_peer_faults::test_every_new_entry_of_a_feed_has_its_post",
    ),
    # --- newsletter senders: most reported ---
    "newsletter 1": (
        "test_peer_faults::test_an_edition_is_done_only_when_nobody_waits",
        "delivery/test_killed::test_with_a_repeatable_provider_nothing_is_lost_or_doubled",
        "chaos/test_chaos::test_after_a_storm_everything_is_accounted_for",
    ),
    "newsletter 2": (
        "test_peer_faults::test_an_edition_that_is_paused_in_the_middle_goes_on_exactly_there",
        "test_daemon::test_a_command_that_is_told_to_stop_leaves_nothing_unclear",
    ),
    "newsletter 3": (
        "test_daemon::test_the_daemon_finishes_its_calls_before_it_ends",
        "delivery/test_worker::test_a_silent_workers_batch_is_taken_over_when_its_lease_ends",
    ),
    "newsletter 4": (
        "cli/test_bad_input::test_two_programs_on_one_file_send_everything_once",
        "delivery/test_worker::test_planning_at_the_same_moment_is_planning_once",
    ),
    "newsletter 5": (
        "delivery/test_lanes::test_the_program_says_why_a_provider_takes_nothing",
        "delivery/test_worker::test_a_batch_of_a_channel_that_left_the_configuration_waits",
    ),
    "newsletter 6, of sending again": ("delivery/test_worker::test_only_those_refused_are_tried_again",),
    "newsletter 7": (
        "providers/test_smtp::test_one_readers_answer_is_theirs_alone",
        "providers/test_smtp::test_a_busy_server_is_left_alone",
        "providers/test_ses::test_a_quota_reached_within_a_call_rests_the_account",
        "delivery/test_worker::test_later_means_later",
    ),
    "newsletter 8": ("test_story::test_the_next_day_brings_only_what_is_new",),
    "newsletter 9": (
        "test_editions::test_a_newcomer_gets_the_next_edition_as_everybody_does",
        "test_editions::test_sending_one_article_reaches_those_who_have_not_had_it",
    ),
    "newsletter 11": (
        "delivery/test_worker::test_many_workers_share_one_ledger",
        "chaos/test_two_hosts::test_a_host_that_is_cut_off_and_comes_back_changes_nothing_wrongly",
    ),
    "newsletter 12": (
        "delivery/test_limits::test_a_day_leaves_the_rest_for_tomorrow_whoever_restarts",
        "delivery/test_quota::test_no_span_of_time_has_more_than_its_limit",
    ),
    "newsletter 13": (
        "delivery/test_lanes::test_the_next_provider_takes_what_the_first_definitely_does_not",
        "delivery/test_lanes::test_a_down_provider_is_left_alone_and_tried_with_one_call",
        "delivery/test_lanes::test_silence_never_moves_a_batch_to_another_provider",
    ),
    "newsletter 14": ("test_simulator::test_every_client_is_understood_and_understands",),
    "newsletter 15": (
        "delivery/test_limits::test_a_batch_that_is_larger_than_a_limit_is_parted",
        "delivery/test_limits::test_a_new_domain_is_warmed_up_by_all_its_providers_together",
        "delivery/test_lanes::test_one_bad_address_is_found_in_halves",
    ),
    "newsletter 16, of SMTP": ("providers/test_smtp::test_one_readers_answer_is_theirs_alone",),
    "newsletter 16, of webhooks": (
        "web/test_hooks::test_three_soft_bounces_of_different_editions_are_a_rest",
        "providers/test_hooks::test_what_the_vendor_signed_is_taken",
    ),
    "newsletter 17, of the page that a link opens": (
        "web/test_scanners::test_a_scanner_leaves_no_trace",
        "test_reception::test_looking_at_a_question_answers_nothing",
    ),
    "newsletter 17, in the headers": ("providers/test_contract::test_each_reader_gets_their_own_message",),
    "newsletter 18": ("test_peer_faults::test_no_mail_watches_its_reader",),
    "newsletter 19": (
        "rendering/test_body::test_wide_pictures_are_no_wider_than_the_mail",
        "rendering/test_digest::test_pictures_are_shown_in_proportion",
    ),
    "newsletter 20": ("test_reception::test_a_new_reader_is_welcomed_with_what_the_others_have_had",),
    "newsletter 21": ("delivery/test_teller::test_a_campaigns_states_are_told",),
    "newsletter 22": (
        "test_editions::test_what_needs_approval_waits_for_it",
        "test_editions::test_what_is_approved_is_what_was_looked_at",
        "test_editions::test_an_audience_that_changed_much_asks_first",
        "test_previews::test_an_edition_for_nobody_is_skipped_all_the_same",
    ),
    "newsletter 23, for those without": (
        "delivery/test_worker::test_cancelled_readers_get_the_articles_with_their_next_edition",
        "delivery/test_hands::test_a_retry_leaves_out_who_has_had_the_article_since",
    ),
    "newsletter 24, of reading": ("subscribers/test_store::test_everybody_is_streamed_by_page",),
    "newsletter 25": (
        "delivery/test_killed::test_with_a_repeatable_provider_nothing_is_lost_or_doubled",
        "cli/test_commands::test_explain_says_why",
    ),
    "newsletter, timing of feeds": (
        "test_registry::test_time_alone_publishes_and_expires",
        "planning/test_selection::test_an_article_may_wish_to_stay_out",
        "cli/test_commands::test_one_article_to_one_reader",
    ),
}
UNGUARDED: Mapping[str, str] = {  # what no test guards, and why
    "newsletter 6": "of seeing who: `campaigns show` counts with reasons, and names nobody",
    "newsletter 10": "editions are due on the newsletter's clock; a reader's own time zone is not kept",
    "newsletter 20": "of sequences: a welcome is one mail",
    "newsletter 23": "of a correction by mail to those alone who had the mistake: there is none",
    "newsletter 24": "of dashboards: there is none; what a million rows cost is for the benchmarks",
}


@pytest.mark.parametrize("guard", sorted({guard for guards in GUARDS.values() for guard in guards}))
def test_every_guard_is_there(guard: str):
    """A test that is renamed or goes away takes its line of the table with it."""
    module, _, name = guard.partition("::")
    tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
    functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


def test_every_line_is_guarded_or_says_why_not():
    """22 lines of social schedulers and 25 of newsletter senders: none is forgotten."""
    lines = {line.partition(",")[0] for line in (*GUARDS, *UNGUARDED)}
    wanted = {f"social {number}" for number in range(1, 23)} | {f"newsletter {n}" for n in range(1, 26)}
    assert wanted <= lines


# --- a site with one account, on a simulated network ---

CHANNEL = """
[channels.news]
network = "{network}"
base_url = "http://127.0.0.1:9"
{settings}
"""


@contextmanager
def newsroom(
    folder: Path, clock: Clock, far: Far, *, more: str = 'media = "none"', config: str = ""
) -> Iterator[App]:
    """A site that was looked at once, and whose only account is on the network behind *far*."""
    path = folder / "distributor.toml"
    if not path.exists():
        described = of(far.fake.name)
        settings = [f"{name} = {json.dumps(value)}" for name, value in described.channel.items()]
        channel = CHANNEL.format(network=described.name, settings="\n".join([*settings, more]))
        workspace(folder, config=channel + config)
        write_article(folder, "about")
    with opened(path, clock) as app:
        through(app, far)
        if not app.articles()[0]:
            app.run_once()
        yield app


def of(network: str) -> Described:
    """A network as its own tests describe it."""
    found: Described = import_module(f"tests.providers.test_{network}").NETWORK
    return found


def through(app: App, far: Far) -> None:
    """Let the account's calls go to *far*."""
    [way] = app.routes["news"].ways
    assert isinstance(way, SocialWay)
    provider = of(far.fake.name).provider(app.config.channels["news"], far.transport())
    app.routes["news"] = Route(ways=(replace(way, provider=provider),))


def publish(app: App, clock: Clock, *names: str, **front_matter: Any) -> None:
    """Write articles a minute apart, and go on until all are public."""
    for name in names:
        clock.go_on(minutes=1)
        write_article(app.config.home, name, published_at=clock(), **front_matter)
    clock.go_on(minutes=1)


def posts(app: App) -> list[Campaign]:
    return sorted(app.campaigns(channel="news", limit=1000), key=lambda campaign: campaign.id)


def titles(fake: Network) -> list[str]:
    """The first words of all that was ever posted, sorted."""
    return sorted(line.split()[0] for line in fake.taken)


def mastodon(spoil: Mapping[int, Fault] | None = None) -> Far:
    return Far(of("mastodon").fake(), spoil or {})


def always(fault: Fault) -> dict[int, Fault]:
    return dict.fromkeys(range(10_000), fault)


def creating(fault: Fault, *, times: int) -> dict[int, Fault]:
    """Spoil only the first calls that would make a post visible."""
    left = [fault] * times

    def spoilt(fake: Network, request: Request) -> Reply:
        if left and fake.makes_visible(request.method, request.path):
            return left.pop()(fake, request)
        return fake.answer(request)

    return always(spoilt)


BUSY = before(Reply(status=503, headers={"Retry-After": "30"}))


# --- once, whatever happens ---


def test_an_error_elsewhere_posts_nothing_again(tmp_path: Path):
    """Postiz #1321: what fails beside a post, however often, does not make that post a second time."""
    clock, far = Clock(), mastodon()
    other = '[channels.other]\nnetwork = "mastodon"\nmedia = "none"\ntemplate = "mine"\n'
    with newsroom(tmp_path, clock, far, config=other) as app:
        templates = tmp_path / "templates/social"
        templates.mkdir(parents=True)
        (templates / "mine.txt.j2").write_text("{{ 1 // 0 }}")
        publish(app, clock, "ferry")
        for _ in range(20):
            with pytest.raises(TemplateError):
                app.run_once()
            clock.go_on(minutes=10)
        assert titles(far.fake) == ["ferry"]


def test_an_article_posted_by_hand_is_not_posted_twice_nor_too_close(tmp_path: Path):
    """Postiz #1779: a second order for an article makes nothing, and orders by hand keep the gap too."""
    clock, far = Clock(), mastodon()
    with newsroom(tmp_path, clock, far, more='media = "none"\nmin_gap = 3600') as app:
        publish(app, clock, "ferry", "storm")
        app.scan()
        made = [app.post(f"https://news.example/{name}/", ["news"]) for name in ("ferry", "storm")]
        assert app.post("https://news.example/ferry/", ["news"]) == []
        [[first], [second]] = made
        assert second.due_at - first.due_at == timedelta(hours=1)
        for _ in range(3):
            app.run_once()
            clock.go_on(hours=1)
        assert titles(far.fake) == ["ferry", "storm"]


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.anyio
async def test_a_gateway_that_times_out_again_and_again_makes_no_second_post(name: str):
    """Tusky #2951: a 504 after the post was taken, three times over, leaves one post or an unclear one."""

    def taken(fake: Network, request: Request) -> Reply:
        fake.answer(request)
        return page(504)

    described = of(name)
    far = Far(described.fake(), creating(taken, times=3))
    receipt = await Carrier(described, far).carry(post(described.settings()))
    assert len(far.fake.taken) == 1
    if receipt is None:
        assert described.provider(described.settings(), far.transport()).limits.repeatable_for is None


def test_a_post_keeps_its_key_over_attempts_and_restarts(tmp_path: Path):
    """Mixpost made a key for each attempt and Apprise one for all posts: ours is one for each post."""
    clock, far = Clock(), mastodon(creating(FAULTS["502 before"], times=3))
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "ferry")
        app.run_once()
    for _ in range(5):
        clock.go_on(hours=1)
        with newsroom(tmp_path, clock, far) as app:
            app.run_once()
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "storm")
        app.run_once()
        assert {campaign.state for campaign in posts(app)} == {"done"}
    calls = [one for one in far.requests if one.url.path == "/api/v1/statuses"]
    keys = {
        name: [one.headers["Idempotency-Key"] for one in calls if name in one.content.decode()]
        for name in ("ferry", "storm")
    }
    assert len(keys["ferry"]) == 4
    assert len(set(keys["ferry"])) == 1
    assert set(keys["ferry"]).isdisjoint(keys["storm"])
    assert titles(far.fake) == ["ferry", "storm"]


@pytest.mark.parametrize("when", ["killed before", "killed after"])
@pytest.mark.parametrize("number", range(3))
def test_a_run_that_is_killed_among_several_posts_makes_each_once(tmp_path: Path, when: str, number: int):
    """feed2toot and feediverse kept their state at the end of a run: here a crash repeats no earlier post."""
    clock, far = Clock(), mastodon()
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "ferry", "harbour", "storm")
        app.look()
        far.spoil = {len(far.requests) + number: FAULTS[when]}
        with pytest.raises(BaseExceptionGroup) as caught:
            app.deliver()
        assert caught.group_contains(Killed)
    for _ in range(5):
        clock.go_on(minutes=5)
        with newsroom(tmp_path, clock, far) as app:
            app.run_once()
            assert all(app.balance(campaign.id).gap == 0 for campaign in posts(app))
    assert titles(far.fake) == ["ferry", "harbour", "storm"]


def test_a_database_that_is_lost_posts_nothing_again(tmp_path: Path):
    """t2m #21 posted more than a thousand times what was there: a new start takes it as known."""
    clock, far = Clock(), mastodon()
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "ferry", "storm")
        app.run_once()
    for file in (tmp_path / "var").glob("distributor.db*"):
        file.unlink()
    with newsroom(tmp_path, clock, far) as app:
        for _ in range(3):
            app.run_once()
            clock.go_on(days=1)
    assert titles(far.fake) == ["ferry", "storm"]


def test_a_month_of_silence_makes_no_flood(tmp_path: Path):
    """moa #137: after downtime an account gets what its day has room for, and nothing twice."""
    clock, far = Clock(), mastodon()
    with newsroom(tmp_path, clock, far, more='media = "none"\nmax_per_day = 3\noverflow = "newest"') as app:
        for number in range(30):
            write_article(tmp_path, f"day{number:02}", published_at=clock.go_on(days=1))
        clock.go_on(minutes=1)
        for _ in range(3):
            app.run_once()
        assert titles(far.fake) == ["day27", "day28", "day29"]
        for _ in range(5):
            clock.go_on(days=1)
            app.run_once()
        assert titles(far.fake) == ["day27", "day28", "day29"]
        reasons = {campaign.reason for campaign in posts(app) if campaign.state == "skipped"}
        assert reasons == {"the account's day had no room for it: max_per_day"}


# --- none is lost, and none waits in silence ---


def test_a_post_that_does_not_move_says_why(tmp_path: Path):
    """Postiz #1724, #1512, #818: a post that waits has a reason, and looking at it changes nothing."""
    clock, far = Clock(), mastodon(always(BUSY))
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "ferry")
        for _ in range(3):
            app.run_once()
            called = len(far.requests)
            [campaign] = posts(app)
            [batch] = app.open_batches(campaign.id)
            assert "503" in str(batch.reason)
            assert (app.balance(campaign.id).queued, app.campaign(campaign.id).state) == (1, "sending")
            assert len(far.requests) == called
            clock.go_on(hours=1)
        far.spoil = {}
        app.run_once()
        assert titles(far.fake) == ["ferry"]


def test_a_post_that_is_refused_is_told_and_holds_up_no_other(tmp_path: Path):
    """Mixpost #131, FeedEcho: a refusal has its reason and its alert, and what comes after it goes out."""
    clock = Clock()

    def refusing(fake: Network, request: Request) -> Reply:
        is_it = fake.makes_visible(request.method, request.path) and b"harbour" in request.body
        return invalid("Validation failed: not this one") if is_it else fake.answer(request)

    far = mastodon(always(refusing))
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "harbour", "ferry", "storm")
        for _ in range(3):
            app.run_once()
            clock.go_on(hours=1)
        assert titles(far.fake) == ["ferry", "storm"]
        balances = [app.balance(campaign.id) for campaign in posts(app)]
        assert [(one.accepted, one.refused, one.gap) for one in balances] == [(0, 1, 0), (1, 0, 0), (1, 0, 0)]
        [alert] = app.alerts()
        assert "“harbour” was not posted" in alert.text
        assert "not this one" in alert.text
        assert app.told(alert)
        assert not app.told(alert)


def test_what_waited_for_an_account_is_posted_however_old_it_is(tmp_path: Path):
    """Postiz looked two days back, and at healthy channels only: here ten days of a bad key lose nothing."""
    clock, far = Clock(), mastodon(always(before(of("mastodon").fake().words["unauthorized"])))
    with newsroom(tmp_path, clock, far) as app:
        told = []
        for name in ("ferry", "harbour", "storm"):
            publish(app, clock, name)
            for _ in range(10):
                app.run_once()
                told += [alert.text for alert in app.alerts() if app.told(alert)]
                clock.go_on(hours=8)
        assert any("takes nothing now" in text for text in told)
        assert far.fake.taken == []
        far.spoil = {}
        for _ in range(4):
            app.run_once()
            clock.go_on(hours=8)
        assert titles(far.fake) == ["ferry", "harbour", "storm"]


def test_what_was_given_up_is_told_and_goes_out_once_when_a_person_says_so(tmp_path: Path):
    """FeedEcho gave up without a word: after days without a network a person is told how to go on."""
    clock, far = Clock(), mastodon(always(BUSY))
    with newsroom(tmp_path, clock, far) as app:
        publish(app, clock, "ferry")
        told = []
        for _ in range(60):
            app.run_once()
            told += [alert.text for alert in app.alerts() if app.told(alert)]
            clock.go_on(hours=1)
        [campaign] = posts(app)
        assert app.balance(campaign.id).refused == 1
        assert len([text for text in told if f"distributor campaigns retry {campaign.id}" in text]) == 1
        far.spoil = {}
        assert app.retry(campaign.id) == 1
        for _ in range(3):
            app.run_once()
            clock.go_on(hours=1)
        assert titles(far.fake) == ["ferry"]


FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Elsewhere</title>
<link>https://elsewhere.example/</link>{items}</channel></rss>"""
ITEM = """<item><title>{0}</title><link>https://elsewhere.example/{0}</link><guid>{0}</guid>
<pubDate>Mon, 01 Jun 2026 05:{1}:00 GMT</pubDate><description>All about {0}</description></item>"""
FEED_ONLY = """
[site]
feeds = ["https://elsewhere.example/index.xml"]
base_url = "https://elsewhere.example"
title = "Elsewhere"
[channels.news]
network = "mastodon"
base_url = "http://127.0.0.1:9"
account = "@news@social.example"
key = "a-secret-token-of-mastodon"
media = "none"
quiet_hours = "05:00-12:00"
"""


def test_every_new_entry_of_a_feed_has_its_post(tmp_path: Path):
    """Postiz #1132, FeedEcho: two of one hour, in any order, though they leave the feed while they wait."""
    held = ["about"]
    old = ITEM.format("about", "00")
    more = {"ferry": ITEM.format("ferry", "40"), "harbour": ITEM.format("harbour", "10"), "about": old}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=FEED.format(items="".join(more[name] for name in held)))

    clock, far = Clock(), mastodon()
    path = tmp_path / "distributor.toml"
    path.write_text(FEED_ONLY)
    http = httpx.Client(transport=httpx.MockTransport(answer))
    app = App(load(path, {}), clock=clock, sleep=clock.sleep, http=http)
    try:
        app.open()
        through(app, far)
        app.run_once()
        for shown in (["ferry", "harbour", "about"], ["about"], ["about"]):
            held[:] = shown
            app.run_once()
            clock.go_on(hours=4)
        assert titles(far.fake) == ["ferry", "harbour"]
        assert {campaign.state for campaign in posts(app)} == {"done"}
    finally:
        app.close()


# --- pictures, parts and times as they were meant ---


def on_bluesky(folder: Path, draw: Callable[[Path], None], *, more: str) -> Posted:
    """The post there of an article whose picture is at /banner.png."""
    clock, far = Clock(), Far(of("bluesky").fake())
    (folder / "static").mkdir()
    draw(folder / "static/banner.png")
    with newsroom(folder, clock, far, more=more) as app:
        publish(app, clock, "ferry", enclosure="/banner.png")
        app.run_once()
    [seen] = far.fake.posts.values()
    return seen


def test_a_picture_arrives_as_large_as_its_network_takes_it(tmp_path: Path):
    """Postiz #412, #443, #497 made Bluesky's pictures 400 pixels wide: what fits keeps its size."""

    def plain(path: Path) -> None:
        Image.new("RGB", (1200, 800), "teal").save(path)

    [(data, _)] = on_bluesky(tmp_path, plain, more='media = "banner"').pictures
    with Image.open(io.BytesIO(data)) as seen:
        assert seen.size == (1200, 800)


def test_a_picture_too_heavy_for_a_card_costs_no_post(tmp_path: Path):
    """Mixpost #188, n8n-nodes-bluesky PR #113: a banner beyond 1 MB is made lighter, and the post goes."""

    def noise(path: Path) -> None:
        pixels = random.Random(1).randbytes(1200 * 1600 * 3)
        Image.frombytes("RGB", (1200, 1600), pixels).save(path)
        assert path.stat().st_size > 2_000_000

    seen = on_bluesky(tmp_path, noise, more='media = "link"')
    assert 0 < len(seen.card["thumb"]) <= 1_000_000


@pytest.mark.parametrize("name", sorted(name for name, network in NETWORKS.items() if network.replies))
@pytest.mark.anyio
async def test_each_part_of_a_thread_says_its_own_words(name: str):
    """Apprise 1.13 gave all parts the last text and picture: each has its own, the first alone a picture."""
    described = of(name)
    parts = [post(described.settings(), text=f"Part {number}", pictures=()) for number in (2, 3)]
    what = replace(post(described.settings()), more=tuple(part.payload for part in parts))
    _, fake, _ = await published(described, what)
    first, second, third = fake.posts.values()
    assert first.text.startswith(TEXT.partition("\n")[0])
    assert [len(one.pictures) for one in (first, second, third)] == [1, 0, 0]
    assert ("Part 2" in second.text, "Part 3" in second.text) == (True, False)
    assert ("Part 2" in third.text, "Part 3" in third.text) == (False, True)


SLOTS = """
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo
from distributor.planning.slots import slots_between
begin = datetime(2026, 10, 24, tzinfo=UTC)
for zone in ("UTC", "Europe/Berlin"):
    slots = slots_between("0 7 * * *", ZoneInfo(zone), begin, begin + timedelta(days=3))
    print([slot.at.isoformat() for slot in slots])
"""


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Nowhere/At_All", ""])
def test_times_do_not_hang_on_the_machines_zone(zone: str):
    """Postiz #1954 was an hour off on slim images: TZ and a missing zone database change no slot."""
    ran = subprocess.run(
        [sys.executable, "-c", SLOTS],
        env={**os.environ, "TZ": zone, "PYTHONTZPATH": ""},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    utc, berlin = ran.stdout.splitlines()
    assert utc.count("T07:00:00+00:00") == 3
    assert berlin == str([f"2026-10-{day}T0{hour}:00:00+00:00" for day, hour in ((24, 5), (25, 6), (26, 6))])


# --- mails ---


READERS = tuple(f"reader{number}@example.org" for number in range(9))


@contextmanager
def edition(folder: Path, clock: Clock, recorder: Recorder) -> Iterator[tuple[App, Campaign]]:
    """Nine readers, and an edition that is planned and goes through *recorder*."""
    with opened(workspace(folder), clock) as app:
        app.scan()
        subscribe(app, *READERS)
        write_article(folder, "ferry", published_at=clock())
        clock.go_on(hours=2)
        far_end.through(app, recorder)
        [campaign] = app.look().planned
        yield app, campaign


def test_an_edition_that_is_paused_in_the_middle_goes_on_exactly_there(tmp_path: Path):
    """listmonk #2313, #2070: paused during each of its calls, an edition still reaches everybody once."""
    clock = Clock()

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        app.pause(batch.campaign)
        return Answer(receipt=batch.key)

    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=2, answer=answer)
    with edition(tmp_path, clock, recorder) as (app, campaign):
        rounds = 0
        while app.campaign(campaign.id).state != "done":
            app.deliver()
            rounds += 1
            if app.campaign(campaign.id).state == "paused":
                before_resuming = len(recorder.calls)
                assert app.deliver().accepted == 0
                assert len(recorder.calls) == before_resuming
                app.resume(campaign.id)
            assert rounds < 20
        assert rounds > 1
        assert sorted(address for _, address, _ in recorder.taken()) == sorted(READERS)


def test_an_edition_is_done_only_when_nobody_waits(tmp_path: Path):
    """listmonk #2278: whoever the provider puts off keeps the edition open, and has it in the end."""
    clock = Clock()

    def answer(batch: Batch, emails: Sequence[Email]) -> Answer:
        return Answer(receipt=batch.key, later={one.recipient: "450 greylisted" for one in emails[1:]})

    recorder = Recorder(tmp_path / "taken.log", recipients_per_call=9, answer=answer)
    with edition(tmp_path, clock, recorder) as (app, campaign):
        for _ in range(len(READERS)):
            app.deliver()
            balance, state = app.balance(campaign.id), app.campaign(campaign.id).state
            assert (state == "done") == (balance.queued == 0)
            assert balance.gap == 0
            clock.go_on(days=1)
        assert sorted(address for _, address, _ in recorder.taken()) == sorted(READERS)
        assert app.campaign(campaign.id).state == "done"


def test_no_mail_watches_its_reader(tmp_path: Path):
    """listmonk #1025, #2400: counts of opens and clicks are inflated by machines, so no mail counts any."""
    clock = Clock(MONDAY)
    with opened(workspace(tmp_path), clock) as app:
        app.scan()
        subscribe(app, "ada@example.org", "lin@example.org")
        write_article(tmp_path, "ferry", published_at=clock(), body="See [the pier](/pier/).")
        clock.go_on(hours=2)
        app.run_once()
    ada, lin = (_without_own_links(mail) for mail in mails(tmp_path))
    assert "https://news.example/ferry/" in ada
    assert ada == lin


def _without_own_links(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return re.sub(r"/(unsubscribe|preferences)/[^\"<>\s]+", r"/\1/…", str(part.get_content()))
