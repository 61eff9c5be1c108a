"""What the account's pages share: their rooms, the way one is shown, and the sentences a page says of what was done."""

from typing import Any

from litestar import Response

from cloudapi.services import AnyRequest
from cloudapi.web.forms import BLANK, NO_STORE, Form, form_number
from cloudapi.web.render import page

MANAGES = {"scope": "manage"}
ENDS = MANAGES | {"counts": False}  # ending what leaked must always work

ROOMS = (
    ("Overview", "/app/account"),
    ("Keys", "/app/account/keys"),
    ("Billing", "/app/account/billing"),
    ("Credits", "/app/account/credits"),
    ("Watch list", "/app/account/watch"),
    ("Webhooks", "/app/account/webhooks"),
    ("Your data", "/app/account/data"),
)

# What a page may be asked to say; an address says which, never what.
SAID = {
    "key-ended": "The key is ended, on every replica within two seconds.",
    "paid": "Thank you. Your tier changes as soon as the payment service says it is paid, usually within seconds.",
    "watched": "It is on your watch list.",
    "changed": "The thresholds are changed.",
    "unwatched": "You follow it no more.",
    "mail": "The daily mail is set.",
    "webhook-ended": "The endpoint is removed, and what waited for it.",
    "webhook-on": "The endpoint is on again.",
    "again": "The message is on its way once more.",
    "channel": "The channel is made.",
    "channel-ended": "The channel is removed.",
}


def room(request: AnyRequest, template: str, *, form: Form = BLANK, **shown: Any) -> Response[str]:
    """One of the account's pages; with a form that was refused, its status and its faults."""
    return page(
        request,
        template,
        status_code=form.status,
        headers=NO_STORE | form.headers,
        rooms=ROOMS,
        said=SAID.get(request.query_params.get("said", "")),
        form=form,
        blank=BLANK,
        number=form_number,
        **shown,
    )
