"""The account's pages: one file per room, all of them asking the API's own handlers."""

from cloudapi.web.account import billing, data, following, keys, overview, telling

HANDLERS = (
    *overview.HANDLERS,
    *keys.HANDLERS,
    *billing.HANDLERS,
    *following.HANDLERS,
    *telling.HANDLERS,
    *data.HANDLERS,
)
