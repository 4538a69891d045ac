"""What the shapes of keys, log-ins and the audit log have in common."""

from typing import Annotated

from msgspec import Meta

from longline.delivery.event_views import Time

MadeBy = Annotated[
    str, Meta(description="The id of the key that made it; `admin` or `server` for those without a name.")
]
End = Annotated[Time | None, Meta(description="When it ends; null: it does not.")]
