# Made by tools/blocking.py of longline/sdk/calls/profiles.py: change that one, and run it.
"""Profiles of running processes: taken, kept, compared."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from longline.sdk.blocking.http import SyncHttp
from longline.sdk.paths import given, quoted, told
from longline.sdk.profiles import (
    ComparedProfiles,
    ProfileFormat,
    ProfileKind,
    ProfileSummary,
    TakenProfile,
)
from longline.sdk.times import Duration, whole_seconds

ANSWER_AFTER: Final = 35.0  # s beyond those of the profile that the server may need


class _ProfileList(msgspec.Struct):
    profiles: list[ProfileSummary]
    next_cursor: str | None = None


class SyncProfileCalls:
    """A part of `SyncCenter`."""

    _http: SyncHttp

    def take_profile(self, node: str, *, kind: ProfileKind = "cpu", seconds: Duration = 10) -> TakenProfile:
        """Has a node take a profile of its process, for 1 to 60 seconds, and keep it.

        Raises `NodeNotFound`, `ProfileUnderWay` while it takes another, `ProfileFailed`, and `NodeSilent`
        when it does not answer.
        """
        length = whole_seconds(seconds)
        return self._http.call(
            "GET",
            f"/v1/nodes/{quoted(node)}/profile",
            TakenProfile,
            params={"kind": kind, "seconds": length},
            safe=False,
            within=length + ANSWER_AFTER,
        )

    def profiles(
        self,
        *,
        node: str | None = None,
        kind: ProfileKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[ProfileSummary]:
        """Those that are kept, the latest first. Times are aware."""
        asked: dict[str, str | int] = given(node=node, kind=kind)
        asked |= {name: told(at) for name, at in (("from", since), ("to", until)) if at is not None}
        for page in self._http.pages("/v1/profiles", _ProfileList, asked):
            yield from page.profiles

    def profile(self, profile: str) -> TakenProfile:
        """One of them, with what is in it. Raises `ProfileNotFound`."""
        return self._http.call("GET", _profile(profile), TakenProfile, safe=True)

    def profile_file(self, profile: str, format: ProfileFormat) -> bytes:
        """One of them as a file for another tool. Raises `ProfileNotFound`."""
        return self._http.file(_profile(profile), {"format": format})

    def compare_profiles(self, profile: str, base: str) -> ComparedProfiles:
        """What takes more in one than in another, of any node and version: the largest growth first.

        Raises `ProfileNotFound`, and `ProfilesDiffer` for different kinds.
        """
        return self._http.call(
            "GET", f"{_profile(profile)}/difference", ComparedProfiles, params={"base": base}, safe=True
        )

    def delete_profile(self, profile: str) -> None:
        """Deletes one of them. Raises `ProfileNotFound`."""
        self._http.call("DELETE", _profile(profile), object, safe=False)


def _profile(profile: str) -> str:
    return f"/v1/profiles/{quoted(profile)}"
