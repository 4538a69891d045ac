"""Settings of the section `authority`."""

from typing import Annotated, Literal

from msgspec import Struct

from longline.settings.about import KIB, MIB, about
from longline.settings.secret import Secret


class AuthoritySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who else says whom to let in: identity providers' keys, and the callback of `room.auth_url`."""

    # Key sets (JWKS)
    jwks_http: Annotated[
        bool,
        about("Whether the address of an app's key set may be `http`, which anybody on the way can change."),
    ] = False
    jwks_private_addresses: Annotated[
        bool,
        about(
            "Whether an app's key set may be in this host or in a private network. Off: an app's people "
            "could have the server ask what only the server reaches."
        ),
    ] = False
    jwks_size: Annotated[
        int, about("Largest key set; of its keys, the first 64 are used.", unit="bytes", low=KIB, high=MIB)
    ] = 64 * KIB
    jwks_timeout: Annotated[
        float,
        about("Time for a key set to be read, from looking its name up.", unit="s", low=0.1, high=60),
    ] = 5.0
    jwks_sets: Annotated[
        int, about("Key sets that are remembered, those used lately.", unit="sets", low=1, high=100_000)
    ] = 1000
    jwks_fresh: Annotated[
        float,
        about(
            "A key set is read again when it is older, beside the work: nobody waits for it.",
            unit="s",
            low=1,
            high=86_400,
        ),
    ] = 300.0
    jwks_stale: Annotated[
        float,
        about(
            "How old a key set may be that cannot be read again. Past that, tokens by its keys are refused "
            "as unavailable (return code 3, reason 0x88).",
            unit="s",
            low=1,
            high=2_592_000,
        ),
    ] = 86_400.0
    jwks_unknown_key: Annotated[
        float,
        about(
            "A token may name a key that is not in the set: then the set is read again, if it was not within "
            "so long. Tokens that name unknown keys are refused meanwhile.",
            unit="s",
            low=0.1,
            high=3600,
        ),
    ] = 30.0

    # The callback
    key: Annotated[
        Secret | None,
        about("What calls of `room.auth_url` carry as `Authorization: Bearer …`. Unset: nothing."),
    ] = None
    concurrency: Annotated[
        int, about("Calls of `room.auth_url` at once.", unit="calls", low=1, high=10_000)
    ] = 64
    timeout: Annotated[
        float,
        about(
            "Time for an answer of `room.auth_url`, with the wait for a place among `concurrency`.",
            unit="s",
            low=0.05,
            high=60,
        ),
    ] = 3.0
    when_away: Annotated[
        Literal["refuse", "token"],
        about(
            "What becomes of a CONNECT when `room.auth_url` does not answer: it is refused as unavailable "
            "(return code 3, reason 0x88), or let in if its token is good."
        ),
    ] = "refuse"
    allowed_for: Annotated[
        float,
        about(
            "How long the answer that a client is allowed in is remembered, for the same CONNECT from the "
            "same address. 0: not at all.",
            unit="s",
            low=0,
            high=86_400,
        ),
    ] = 60.0
    denied_for: Annotated[
        float,
        about("The same for the answer that it is denied.", unit="s", low=0, high=86_400),
    ] = 10.0
    answers: Annotated[
        int, about("Answers that are remembered, those used lately.", unit="answers", low=1, high=10_000_000)
    ] = 20_000
    failures: Annotated[
        int,
        about(
            "Calls that fail one after the other, until nobody calls for a second; each time that the next "
            "fails, too, for twice as long, 30 s at most.",
            unit="calls",
            low=1,
            high=10_000,
        ),
    ] = 5
    waiting: Annotated[
        int,
        about(
            "CONNECTs that wait for a callback or a key set. One beyond it is refused as busy (return "
            "code 3, reason 0x89).",
            unit="connections",
            low=1,
            high=1_000_000,
        ),
    ] = 5000
