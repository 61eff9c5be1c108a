"""The end of a session, told to its owner's webhooks and channels.

Law: the end happens in the database, wherever that is; it is told once, in the transaction that notes that it was.
A trial of ours is nobody's news. Called by the courier.
"""

from cloudapi.db import Pool, from_row
from cloudapi.queries.sessions import SESSION_COLUMNS, SessionRow
from cloudapi.sessions import view
from cloudapi.telling import tell_account
from cloudapi.webhooks import Topic

AT_ONCE = 50

UNTOLD = f"""
select s.account_id, {SESSION_COLUMNS} from prediction_session as s
where s.ended_at is not null and s.told_at is null and not s.shadow
order by s.ended_at limit $1 for update of s skip locked
"""
NOTE = "update prediction_session set told_at = now() where session_id = any ($1::uuid[])"


async def tell_ended(pool: Pool) -> int:
    """Hand on what has ended since the last time. Returns: how many sessions."""
    async with pool.acquire() as connection, connection.transaction():
        rows = await connection.fetch(UNTOLD, AT_ONCE)
        for row in rows:
            session = view(from_row(row, SessionRow), None)
            await tell_account(connection, row["account_id"], Topic.SESSION, str(session.session_id), session)
        if rows:
            await connection.execute(NOTE, [row["session_id"] for row in rows])
    return len(rows)
