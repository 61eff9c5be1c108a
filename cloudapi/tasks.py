"""The road to the worker: tasks put on the Postgres queue in the transaction of what they are about.

Law: a task carries ids and nothing else; what is to be done stands in our own tables, so a task lost or done twice
changes nothing. procrastinate's worker takes them (`courier.py`); here is only its own SQL function, called by asyncpg.
"""

from datetime import datetime

import msgspec

from cloudapi.db import Connection

QUEUE = "subscribers"

STRIPE_EVENT = "stripe_event"
SEND_MAILS = "send_mails"
SEND_WEBHOOK = "send_webhook"
SEND_NOTIFICATION = "send_notification"

DEFER = """
select procrastinate_defer_jobs_v1(array_agg(
    row($1, $2, 0, null, null, task.args::jsonb, $4::timestamptz)::procrastinate_job_to_defer_v1))
from unnest($3::text[]) as task (args)
"""


async def defer(connection: Connection, task: str, *all_arguments: dict[str, str], at: datetime | None = None) -> None:
    """Put one task per set of arguments on the queue; taken up after the commit, or at `at`."""
    if all_arguments:
        texts = [msgspec.json.encode(arguments).decode() for arguments in all_arguments]
        await connection.execute(DEFER, QUEUE, task, texts, at)
