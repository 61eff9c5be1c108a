"""Mail preferences, and the one mail a reader has per day.

Law: (account, day) is a row, claimed before the server hears of it. A row that stays `sending` was interrupted where
nobody can know whether the mail left: it is never sent again.
"""

import uuid
from datetime import date, datetime

import msgspec

from cloudapi.db import Connection, Pool, from_row
from cloudapi.tiers import Tier

PREFERENCE = "time_zone, hour, is_on, off_why"
LOAD = f"select {PREFERENCE} from mail_preference where account_id = $1"
SAVE = f"""
insert into mail_preference (account_id, time_zone, hour, is_on, off_why, unsubscribe_key)
values ($1, $2, $3, $4, case when $4 then null else 'asked' end, $5)
on conflict (account_id) do update set time_zone = excluded.time_zone, hour = excluded.hour, is_on = excluded.is_on,
    off_why = excluded.off_why, changed_at = now()
returning {PREFERENCE}
"""
UNSUBSCRIBE = """
update mail_preference set is_on = false, off_why = 'unsubscribed', changed_at = now()
where unsubscribe_key = $1 returning account_id
"""
KEY = "select unsubscribe_key from mail_preference where account_id = $1"
# The newest mail that left: reports come within days, and which day it was says only the mail that came back.
NOTE_RETURN = """
update mail_daily set state = case when $3 then 'bounced' else state end, answer = $2
where account_id = $1 and state = 'sent'
  and day = (select max(day) from mail_daily where account_id = $1 and state = 'sent')
"""
SWITCH_OFF = """
update mail_preference set is_on = false, off_why = $2, changed_at = now() where account_id = $1 and is_on
returning true
"""

# Readers without today's mail yet; what is nobody's hour yet is left out by the caller, who knows time zones.
CANDIDATES = """
select p.account_id, p.time_zone, p.hour
from mail_preference as p join account as a using (account_id)
where p.is_on and a.email is not null and a.closed_at is null
  and exists (select from watch_entry as w where w.account_id = p.account_id)
  and not exists (select from mail_daily as d where d.account_id = p.account_id
                  and d.day = ($1::timestamptz at time zone p.time_zone)::date)
  and extract(hour from $1::timestamptz at time zone p.time_zone) >= p.hour
  and p.account_id > $2
order by p.account_id limit $3
"""
PLAN = """
insert into mail_daily (account_id, day, due_at) select unnest($1::uuid[]), unnest($2::date[]), $3
on conflict do nothing
"""
DUE = """
select d.account_id, d.day, d.n_attempts, a.email, a.tier, p.unsubscribe_key, p.time_zone
from mail_daily as d join account as a using (account_id) join mail_preference as p using (account_id)
where d.state = 'due' and d.due_at <= $1 and p.is_on and a.email is not null and a.closed_at is null
order by d.due_at, d.account_id limit $2
"""
COUNT_DUE = "select count(*) from mail_daily where state = 'due' and due_at <= $1"
CLAIM = """
update mail_daily set state = 'sending', n_attempts = n_attempts + 1
where account_id = $1 and day = $2 and state = 'due' returning true
"""
FINISH = """
update mail_daily set state = $3, answer = $4, sent_at = case when $3 = 'sent' then $5::timestamptz end,
    due_at = coalesce($6, due_at)
where account_id = $1 and day = $2
"""
POSTPONE = "update mail_daily set due_at = $3, answer = $4 where account_id = $1 and day = $2 and state = 'due'"
# The moment the next mail may leave, taken: two workers never take the same one.
PACE = """
update mail_pace set next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => $1)
returning extract(epoch from next_at - clock_timestamp()) - $1
"""


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """When a reader wants his mail; `off_why` says why he has none."""

    time_zone: str
    hour: int
    is_on: bool
    off_why: str | None = None


class DueMail(msgspec.Struct, frozen=True, kw_only=True):
    """A mail to be made and sent."""

    account_id: uuid.UUID
    day: date
    n_attempts: int
    email: str
    tier: Tier
    unsubscribe_key: str
    time_zone: str


async def load_preference(pool: Pool, account_id: uuid.UUID) -> Preference | None:
    """What an account chose; None: nothing yet."""
    row = await pool.fetchrow(LOAD, account_id)
    return None if row is None else from_row(row, Preference)


async def save_preference(
    connection: Connection, account_id: uuid.UUID, *, time_zone: str, hour: int, is_on: bool, key: str
) -> Preference:
    """Keep the choice; the key stays what it was."""
    row = await connection.fetchrow(SAVE, account_id, time_zone, hour, is_on, key)
    return msgspec.convert(dict(row or {}), Preference)


async def unsubscribe(connection: Connection, key: str) -> uuid.UUID | None:
    """No more mails for whoever holds this key. Returns: the account, None if there is none."""
    found: uuid.UUID | None = await connection.fetchval(UNSUBSCRIBE, key)
    return found


async def switch_off(connection: Connection, account_id: uuid.UUID, why: str) -> bool:
    """No more mails for an account."""
    return bool(await connection.fetchval(SWITCH_OFF, account_id, why))


async def load_key(connection: Connection, account_id: uuid.UUID) -> str | None:
    """The key of an account's mails."""
    found: str | None = await connection.fetchval(KEY, account_id)
    return found


async def note_return(connection: Connection, account_id: uuid.UUID, said: str | None, *, is_gone: bool) -> None:
    """Write at an account's newest mail that it came back."""
    await connection.execute(NOTE_RETURN, account_id, said, is_gone)


async def load_candidates(
    pool: Pool, now: datetime, *, after: uuid.UUID, limit: int
) -> list[tuple[uuid.UUID, str, int]]:
    """Accounts whose hour has come today, by id."""
    return [tuple(row) for row in await pool.fetch(CANDIDATES, now, after, limit)]


async def plan(connection: Connection, owed: list[tuple[uuid.UUID, date]], due_at: datetime) -> None:
    """Make the rows of these readers' days."""
    await connection.execute(PLAN, [one for one, _ in owed], [day for _, day in owed], due_at)


async def load_due(pool: Pool, now: datetime, *, limit: int) -> list[DueMail]:
    """Mails to be sent now."""
    return [from_row(row, DueMail) for row in await pool.fetch(DUE, now, limit)]


async def count_due(pool: Pool, now: datetime) -> int:
    """How many mails are waiting."""
    return int(await pool.fetchval(COUNT_DUE, now))


async def claim(pool: Pool, mail: DueMail) -> bool:
    """Take a mail; False if another worker has it."""
    return bool(await pool.fetchval(CLAIM, mail.account_id, mail.day))


async def finish(
    db: "Pool | Connection",
    mail: DueMail,
    state: str,
    *,
    at: datetime,
    answer: str | None = None,
    due_at: datetime | None = None,
) -> None:
    """Write what became of a mail."""
    await db.execute(FINISH, mail.account_id, mail.day, state, answer, at, due_at)


async def postpone(pool: Pool, mail: DueMail, due_at: datetime, why: str) -> None:
    """Let a mail that nobody has claimed wait."""
    await pool.execute(POSTPONE, mail.account_id, mail.day, due_at, why)


async def take_turn(pool: Pool, spacing_s: float) -> float:
    """Take the next free moment of the provider's cap. Returns: seconds until then."""
    return max(0.0, float(await pool.fetchval(PACE, spacing_s)))
