"""The headers that tell a caller how its app stands: `RateLimit-Policy` and `RateLimit`.

They are those of draft-ietf-httpapi-ratelimit-headers from version 8 on: lists of structured fields (RFC
9651), whose items are names of policies. `q` messages may be sent within `w` seconds; `r` at once now, and
all of them `t` seconds from now.
"""

import math

from starlette.responses import Response

from longline.delivery.rates import MESSAGES, Quota
from longline.errors import MessageRateExceeded


def tell_quota(response: Response, quota: Quota | None) -> Response:
    """The answer with how its app stands; as it is for an app without a limit."""
    if quota is not None:
        response.headers["RateLimit-Policy"] = f'"{MESSAGES}";q={quota.rate};w=1'
        response.headers["RateLimit"] = f'"{MESSAGES}";r={quota.left};t={max(0, math.ceil(quota.full))}'
    return response


def quota_of(error: MessageRateExceeded) -> Quota:
    """How the app of a request stands that was refused."""
    return Quota(error.rate, error.left, error.full)
