"""What the worker does for subscribers: events of Stripe, mails, webhooks, notifications; one class, one queue.

Law: procrastinate brings the task, our tables say what is to be done: a task done twice, or never, does no harm, for
every minute looks for what was left behind. Nothing here waits for another account's slow endpoint: ten at a time.
Owned by `oddsd-cloud worker`; `stop` lets what is under way end.
"""

import asyncio
import random
import ssl
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status

from cloudapi import notifications, tasks, webhooks
from cloudapi.audit import Actor, note
from cloudapi.db import AWAY, Pool, make_pool
from cloudapi.egress import AddressRefused, Egress, Resolve, resolve
from cloudapi.errors import Unavailable
from cloudapi.flags import Flag, is_on
from cloudapi.mailing import Mailing
from cloudapi.notifications import Service
from cloudapi.payments import Payments
from cloudapi.queries import billing
from cloudapi.queries import notifications as channel_rows
from cloudapi.queries import webhooks as webhook_rows
from cloudapi.session_news import tell_ended
from cloudapi.settings import CloudSettings
from cloudapi.telling import hand_on
from cloudapi.webhooks import TIERS, Verdict

log = structlog.get_logger(__name__)

AT_A_TIME = 10
LOOK_S = 1.0  # how late an event is handed on
RETRY_S = 5.0
ATTEMPT_S = 60.0  # an attempt lasts less; after it a message without an outcome is anyone's again
LEFT_S = 60.0  # a task so long overdue was lost
KEEP_DAYS = 30  # of settled messages


class Courier:
    """Takes tasks until stopped."""

    def __init__(
        self,
        settings: CloudSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        resolver: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
        send: Callable[[str, str, str], str | None] = notifications.send,
    ) -> None:
        self._settings = settings
        self._now = now
        self._send = send
        self.pool: Pool = make_pool(settings, role="worker")
        self.payments = Payments(settings, self.pool, now=now)
        self.mailing = Mailing(settings, self.pool, now=now)
        self._egress = Egress(allowed=settings.webhook_exceptions, resolver=resolver, tls=tls)
        self.app = self._make_app()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; a database that is away is waited for."""
        is_away = False
        try:
            while not stop.is_set():
                try:
                    await self._work(stop)
                except (*AWAY, asyncpg.PostgresError) as exc:
                    if not is_away:
                        log.warning("the database is away", action="courier_away", cause=type(exc).__name__)
                    is_away = True
                    await _rest(stop, RETRY_S)
                else:
                    is_away = False
        finally:
            await self._egress.close()
            await self.payments.close()
            self.pool.terminate()

    async def _work(self, stop: asyncio.Event) -> None:
        await self.pool
        async with self.app.open_async():
            worker = asyncio.create_task(
                self.app.run_worker_async(
                    queues=[tasks.QUEUE],
                    name="courier",
                    concurrency=AT_A_TIME,
                    install_signal_handlers=False,
                    delete_jobs="always",  # what happened stands in our tables
                    shutdown_graceful_timeout=ATTEMPT_S,
                ),
                name="courier-tasks",
            )
            try:
                while not stop.is_set() and not worker.done():
                    n_told = await hand_on(self.pool) + await tell_ended(self.pool)  # both: a full feed starves no end
                    if not n_told:
                        await _rest(stop, LOOK_S)
            finally:
                worker.cancel()  # procrastinate's way to be stopped: it lets its tasks end
                await asyncio.wait({worker})
                if not worker.cancelled():
                    worker.result()

    def _make_app(self) -> App:
        dsn = self._settings.database_url.get_secret_value()
        app = App(connector=PsycopgConnector(conninfo=dsn, min_size=1, max_size=4))
        named: dict[str, Callable[..., Awaitable[None]]] = {
            tasks.STRIPE_EVENT: self.take_event,
            tasks.SEND_MAILS: self.send_mails,
            tasks.SEND_WEBHOOK: self.send_webhook,
            tasks.SEND_NOTIFICATION: self.send_notification,
        }
        for name, work in named.items():
            app.task(name=name, queue=tasks.QUEUE)(work)
        for cron, every in (("* * * * *", self.each_minute), ("* * * * * */15", self.each_quarter_minute)):
            task = app.task(name=every.__name__, queue=tasks.QUEUE, pass_context=False)(every)
            app.periodic(cron=cron)(task)
        return app

    async def each_minute(self, timestamp: int) -> None:
        """Plan mails; take up what was left behind; forget what is old."""
        await self.mailing.plan()
        await self.take_up_again()
        if timestamp // 60 % 60 == 0:
            await webhook_rows.trim(self.pool, days=KEEP_DAYS)
            await channel_rows.trim(self.pool, days=KEEP_DAYS)

    async def each_quarter_minute(self, timestamp: int) -> None:  # noqa: ARG002  the library's signature
        """End what a grace or a period has ended, though nobody told us: in time for the promised half minute."""
        if not self.payments.is_set_up or not await is_on(self.pool, Flag.BILLING):
            return
        for customer_id in await billing.load_overdue(self.pool, self._now()):
            with suppress(Unavailable):
                await self.payments.read_again(customer_id)

    async def take_up_again(self) -> None:
        """Put tasks back on the queue that were lost with a worker."""
        messages = await webhook_rows.load_overdue(self.pool, older_than_s=LEFT_S, tiers=list(TIERS))
        told = await channel_rows.load_overdue(self.pool, older_than_s=LEFT_S, tiers=list(TIERS))
        waiting = await billing.load_waiting(self.pool, older_than_s=LEFT_S)
        async with self.pool.acquire() as connection:
            await tasks.defer(connection, tasks.SEND_WEBHOOK, *({"message_id": str(one)} for one in messages))
            pairs = ({"channel_id": str(channel), "event_ref": ref} for channel, ref in told)
            await tasks.defer(connection, tasks.SEND_NOTIFICATION, *pairs)
            await tasks.defer(connection, tasks.STRIPE_EVENT, *({"event_id": one} for one in waiting))
        for job in await self.app.job_manager.get_stalled_jobs(queue=tasks.QUEUE):
            if job.id is not None:
                await self.app.job_manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)

    async def take_event(self, event_id: str) -> None:
        """Let an event of Stripe have its effect; if Stripe is away, within the minute."""
        if await is_on(self.pool, Flag.BILLING):
            with suppress(Unavailable):
                outcome = await self.payments.process(event_id)
                log.info("an event of Stripe was taken", action="stripe_event", event_id=event_id, outcome=outcome)

    async def send_mails(self) -> None:
        """Send a chunk of mails."""
        await self.mailing.send_chunk()

    async def send_webhook(self, message_id: str) -> None:
        """Make one attempt to deliver a message."""
        if not await is_on(self.pool, Flag.WEBHOOKS):
            return
        taken = await webhook_rows.take(self.pool, uuid.UUID(message_id), for_s=ATTEMPT_S, tiers=list(TIERS))
        if taken is None:
            return
        now = self._now()
        status: int | None = None
        error, retry_after = None, None
        try:
            headers = webhooks.headers_of(message_id, taken.body, taken.secret, now)
            answered = await self._egress.post(taken.url, taken.body.encode(), headers)
            status, retry_after = answered.status, answered.retry_after
        except (AddressRefused, OSError) as exc:
            error = str(exc)
        chance = random.random()  # noqa: S311  spreads retries, guards nothing
        found = webhooks.judge(status, taken.n_attempts, chance=chance, retry_after=retry_after)
        await self._write_attempt(taken, found, status=status, error=error)

    async def _write_attempt(
        self, taken: webhook_rows.Taken, found: webhooks.Next, *, status: int | None, error: str | None
    ) -> None:
        now = self._now()
        async with self.pool.acquire() as connection, connection.transaction():
            if found.verdict is Verdict.DELIVERED:
                await webhook_rows.finish(
                    connection, taken.message_id, "delivered", status=status, error=None, delivered_at=now
                )
                await webhook_rows.note_success(connection, taken.endpoint_id)
                return
            next_at = None if found.delay_s is None else now + timedelta(seconds=found.delay_s)
            state = "dead" if next_at is None else "pending"
            await webhook_rows.finish(connection, taken.message_id, state, status=status, error=error, next_at=next_at)
            since = await webhook_rows.note_failure(connection, taken.endpoint_id, now)
            why = "it answered 410 Gone" if found.verdict is Verdict.GONE else None
            if why is None and webhooks.is_given_up(since, now):
                why = "nothing arrived for three days"
            if why is not None and await webhook_rows.disable(connection, taken.endpoint_id, now, why):
                await note(
                    connection, taken.account_id, "webhook_disabled", actor=Actor.WORKER,
                    id=str(taken.endpoint_id), why=why,
                )  # fmt: skip
            elif next_at is not None:
                await tasks.defer(connection, tasks.SEND_WEBHOOK, {"message_id": str(taken.message_id)}, at=next_at)

    async def send_notification(self, channel_id: str, event_ref: str) -> None:
        """Make one attempt to tell a channel."""
        if not await is_on(self.pool, Flag.NOTIFICATIONS):
            return
        channel = uuid.UUID(channel_id)
        taken = await channel_rows.take(self.pool, channel, event_ref, tiers=list(TIERS))
        if taken is None:
            return
        url = notifications.apprise_url(Service(taken.kind), taken.address, self._settings.ntfy_url)
        try:
            async with asyncio.timeout(notifications.SEND_S):
                why_not = await asyncio.to_thread(self._send, url, taken.title, taken.body)
        except TimeoutError:
            return  # it may have been taken: the row stays `sending`, and nothing is said twice
        async with self.pool.acquire() as connection, connection.transaction():
            if why_not is None:
                await channel_rows.note_sent(connection, channel, event_ref)
                return
            delay_s = notifications.next_delay_s(taken.n_attempts)
            next_at = None if delay_s is None else self._now() + timedelta(seconds=delay_s)
            is_off = await channel_rows.note_failed(
                connection, channel, event_ref, error=why_not, next_at=next_at, most=notifications.MAX_FAILURES
            )
            if is_off:
                await note(connection, taken.account_id, "channel_disabled", actor=Actor.WORKER, id=channel_id)
            elif next_at is not None:
                task = {"channel_id": channel_id, "event_ref": event_ref}
                await tasks.defer(connection, tasks.SEND_NOTIFICATION, task, at=next_at)


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
