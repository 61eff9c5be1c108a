"""/webhooks/mail: the door at which a mail server hands on what came back, after it had taken the mail.

Law: whatever comes here is a stranger's; it is believed for the reader whose return address it came to (`bounces`).
"""

from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response, post

from cloudapi.bounces import MAX_BYTES, read_report
from cloudapi.errors import Invalid, Unavailable
from cloudapi.mailing import take_report
from cloudapi.routes.accounts import NO_STORE
from cloudapi.services import Wired

log = structlog.get_logger(__name__)


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """A report was read."""

    outcome: Annotated[str, msgspec.Meta(description="What it came to, in words")]


@post(
    "/webhooks/mail",
    status_code=200,
    opt={"public": True, "strangers": True, "max_body_bytes": MAX_BYTES},
    include_in_schema=False,
)
async def take_returned(services: Wired, request: Request[Any, Any, Any]) -> Response[Returned]:
    """A mail that came to a return address, whole, as it was received."""
    mailbox = services.settings.mail_bounces
    if mailbox is None:
        raise Unavailable("This service takes no returned mail: MAIL_BOUNCES is not set.")
    report = read_report(await request.body(), mailbox)
    if report is None:
        raise Invalid("This is no delivery report (RFC 3464) to a return address of ours.")
    outcome = await take_report(services.pool, report)
    log.info("a mail came back", action="mail_returned", outcome=outcome, status=report.said)
    return Response(Returned(outcome=outcome), headers=NO_STORE)


HANDLERS = (take_returned,)
