"""Operations on an app's rules for plain topics: what its devices may publish and subscribe to."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.apps.changes import AppChanges
from longline.center.requests.answers import answer
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.reading import Body
from longline.center.service import CenterService
from longline.center.shapes import END, Strict
from longline.errors import Conflict, ValidationFailed
from longline.model.access import MAX_FILTER, RULE_FILTER, AclRule, Allow, wrong_with_filter
from longline.model.apps import App
from longline.settings import CenterSettings


class AclRuleInfo(Struct, frozen=True):
    """Something that devices may do."""

    allow: Allow
    filter: str


class AclInfo(Struct, frozen=True):
    """All rules of an app. With any, nothing else is allowed on topics that are not the platform's."""

    rules: list[AclRuleInfo]


class AclRuleBody(Strict, frozen=True):
    """Something that devices may do."""

    allow: Allow
    filter: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_FILTER,
            description="An MQTT topic filter. `{device}` stands for the device's name.",
            extra_json_schema={"pattern": f"^(?:{RULE_FILTER}){END}"},
            examples=["home/{device}/#"],
        ),
    ]


class AclBody(Strict, frozen=True):
    """All rules of the app; none: everything is allowed."""

    rules: list[AclRuleBody]


def operations(center: CenterService) -> list[Operation]:
    """The rows of rules."""
    handlers = _Handlers(center.app_changes, center.settings)
    acl = "/v1/apps/{app}/acl"
    operation = AppOperations(center.keys, "apps")
    return [
        operation("GET", acl, handlers.rules, {200: AclInfo}, current=True),
        operation("PUT", acl, handlers.put_rules, {200: AclInfo}, body=AclBody, errors=(Conflict,)),
    ]


class _Handlers:
    def __init__(self, changes: AppChanges, settings: CenterSettings) -> None:
        self._changes = changes
        self._settings = settings
        self._rules = Body(AclBody)

    async def rules(self, request: Request, app: App) -> Response:
        """Show an app's rules for plain topics."""
        return answer(_rules_view(app.access.rules))

    async def put_rules(self, request: Request, app: App) -> Response:
        """Replace an app's rules for plain topics.

        With rules, what none of them allows is denied. They take effect on connections that exist, too:
        subscriptions that are not allowed any more are taken away.
        """
        asked = await self._rules.read(request)
        rules = self._read_rules(asked.rules)

        def change(current: App) -> App:
            access = msgspec.structs.replace(current.access, rules=rules)
            return msgspec.structs.replace(current, access=access)

        await self._changes.make(app, change)
        return answer(_rules_view(rules))

    def _read_rules(self, asked: Sequence[AclRuleBody]) -> tuple[AclRule, ...]:
        if len(asked) > self._settings.acl_rules:
            raise _wrong("rules", f"an app may have {self._settings.acl_rules} rules")
        if sum(len(rule.filter.encode(errors="replace")) for rule in asked) > self._settings.acl_bytes:
            raise _wrong("rules", f"their filters may have {self._settings.acl_bytes} bytes together")
        wrong = [
            (f"rules.{number}.filter", said)
            for number, rule in enumerate(asked)
            if (said := wrong_with_filter(rule.filter))
        ]
        if wrong:
            raise ValidationFailed("a rule's filter is not one", details=wrong)
        return tuple(dict.fromkeys(AclRule(rule.allow, rule.filter) for rule in asked))


def _wrong(field: str, message: str) -> ValidationFailed:
    return ValidationFailed("a field's value is not allowed", details=[(field, message)])


def _rules_view(rules: Sequence[AclRule]) -> AclInfo:
    return AclInfo([AclRuleInfo(rule.allow, rule.filter) for rule in rules])
