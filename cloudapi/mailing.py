"""Sends the daily mails: plans each reader's day, then hands chunk after chunk to the mail server, at its pace.

Law: plan, claim, send, write: the row is claimed before the server hears of it, and what may have been taken stays
claimed for ever. The provider's cap is one row of the database, so any number of workers keeps to it together.
"""

import asyncio
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta

import asyncpg
import structlog

from cloudapi import tasks
from cloudapi.audit import Actor, note
from cloudapi.bounces import Report, is_marked, return_address
from cloudapi.db import Pool
from cloudapi.flags import Flag, is_in, is_on, load_share
from cloudapi.mail import (
    CHUNK,
    DELAYS_S,
    Answer,
    Fate,
    Mailbag,
    MailServerAway,
    compose,
    is_address,
    next_delay_s,
    open_mailbag,
)
from cloudapi.queries import mail as rows
from cloudapi.queries import watch
from cloudapi.queries.mail import DueMail
from cloudapi.settings import CloudSettings
from cloudapi.tiers import ENTITLEMENTS, visible_until
from cloudapi.watching import Edition, day_due, day_is_over, edition

log = structlog.get_logger(__name__)

PLAN_CHUNK = 500


class Mailing:
    """The daily mails of one service."""

    def __init__(self, settings: CloudSettings, pool: Pool, *, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._pool = pool
        self._now = now

    async def plan(self) -> int:
        """Make the rows of every day whose hour has come, and wake the sender. Returns: how many are new."""
        now, n_planned, after = self._now(), 0, uuid.UUID(int=0)
        share = await load_share(self._pool, Flag.MAIL)
        while found := await rows.load_candidates(self._pool, now, after=after, limit=PLAN_CHUNK):
            owed: list[tuple[uuid.UUID, date]] = [
                (account_id, day) for account_id, zone, hour in found if (day := day_due(now, zone, hour)) is not None
            ]
            owed = [(account_id, day) for account_id, day in owed if is_in(Flag.MAIL, account_id, share)]
            async with self._pool.acquire() as connection, connection.transaction():
                await rows.plan(connection, owed, now)
                n_planned += len(owed)
            after = found[-1][0]
        if await rows.count_due(self._pool, now):
            async with self._pool.acquire() as connection:
                await tasks.defer(connection, tasks.SEND_MAILS, {})
        return n_planned

    async def send_chunk(self) -> int:
        """Send what is due, at most a chunk. Returns: how many mails were settled."""
        smtp_url = self._settings.smtp_url
        if smtp_url is None or not await is_on(self._pool, Flag.MAIL):
            return 0
        due = await rows.load_due(self._pool, self._now(), limit=CHUNK)
        if not due:
            return 0
        n_settled = 0
        try:
            # Every word with the mail server, the goodbye too, is spoken in a thread: it may take its time to answer.
            bag = await asyncio.to_thread(open_mailbag, smtp_url.get_secret_value(), self._settings.mail_from)
            try:
                for one in due:
                    n_settled += await self._settle(bag, one)
            finally:
                await asyncio.to_thread(bag.close)
        except MailServerAway as exc:
            log.warning("mails wait", action="mail_server_away", cause=str(exc))
            return n_settled
        if len(due) == CHUNK:
            async with self._pool.acquire() as connection:
                await tasks.defer(connection, tasks.SEND_MAILS, {})
        return n_settled

    async def _settle(self, bag: Mailbag, one: DueMail) -> bool:
        """Make and send one mail. Raises: MailServerAway, with the mail put back."""
        if not await is_on(self._pool, Flag.MAIL):
            return False
        if why_not := self._why_not(one):
            await rows.finish(self._pool, one, "failed", at=self._now(), answer=why_not)
            return True
        try:
            told = await self._edition(one)
        except (TimeoutError, asyncpg.QueryCanceledError):  # this reader waits, and those behind him do not
            log.warning(
                "a reader's day takes too long to read", action="mail_postponed", account_id=str(one.account_id)
            )
            due_at = self._now() + timedelta(seconds=DELAYS_S[0])
            await rows.postpone(self._pool, one, due_at, "the day took too long to read")
            return False
        if told.is_empty:
            await rows.finish(self._pool, one, "empty", at=self._now())
            return True
        message = compose(
            told,
            account_id=one.account_id,
            to=one.email,
            sender=self._settings.mail_from,
            public_url=self._settings.public_url,
            key=one.unsubscribe_key,
        )
        await asyncio.sleep(await rows.take_turn(self._pool, 60 / self._settings.mails_per_minute))
        if not await rows.claim(self._pool, one):
            return False
        try:
            answer = await asyncio.to_thread(bag.hand_over, message, returns_to=self._returns_to(one))
        except MailServerAway as exc:
            await self._put_back(one, str(exc))
            raise
        await self._write(one, answer)
        return True

    def _why_not(self, one: DueMail) -> str | None:
        if day_is_over(one.day, self._now(), one.time_zone):
            return "the day was over"
        return None if is_address(one.email) else "no mail can be sent to this address"

    def _returns_to(self, one: DueMail) -> str | None:
        mailbox = self._settings.mail_bounces
        return None if mailbox is None else return_address(mailbox, one.account_id, one.unsubscribe_key)

    async def _edition(self, one: DueMail) -> Edition:
        """What this reader may be told: prices and insights as late as his tier sees them."""
        now, right = self._now(), ENTITLEMENTS[one.tier]
        moves = await watch.load_moves(self._pool, one.account_id, now=now, price_delay_s=right.price_delay_s)
        until = visible_until(right.insights_every_s, now) or now
        notes = await watch.load_notes(self._pool, one.account_id, until=until)
        return edition(one.day, moves, notes if right.insights_per_day is None else notes[: right.insights_per_day])

    async def _write(self, one: DueMail, answer: Answer) -> None:
        if answer.fate is Fate.LATER:
            await self._put_back(one, answer.said)
        elif answer.fate is Fate.BOUNCED:
            async with self._pool.acquire() as connection, connection.transaction():
                await rows.finish(connection, one, "bounced", at=self._now(), answer=answer.said)
                await rows.switch_off(connection, one.account_id, "bounced")
                await note(connection, one.account_id, "mail_bounced", actor=Actor.WORKER, why=answer.said)
        elif answer.fate is Fate.SENT:
            await rows.finish(self._pool, one, "sent", at=self._now())
        else:
            await rows.finish(self._pool, one, "sending", at=self._now(), answer=answer.said)

    async def _put_back(self, one: DueMail, said: str | None) -> None:
        delay_s = next_delay_s(one.n_attempts + 1)
        state = "failed" if delay_s is None else "due"
        due_at = None if delay_s is None else self._now() + timedelta(seconds=delay_s)
        await rows.finish(self._pool, one, state, at=self._now(), answer=said, due_at=due_at)


async def take_report(pool: Pool, report: Report) -> str:
    """A mail came back after it was taken: off goes a mailbox that is gone. Returns: what it came to, in words."""
    async with pool.acquire() as connection, connection.transaction():
        key = await rows.load_key(connection, report.account_id)
        if key is None or not is_marked(report, key):
            return "nobody's"
        await rows.note_return(connection, report.account_id, report.said, is_gone=report.is_gone)
        if not report.is_gone:
            return "noted"
        if not await rows.switch_off(connection, report.account_id, "bounced"):
            return "off before"
        await note(connection, report.account_id, "mail_bounced", actor=Actor.WORKER, why=report.said)
    return "switched off"
