"""A broker as small as the two specifications allow: what every client has to get, and nothing of how.

Time does not pass in it: sessions are kept or end with their connection. Where the specifications leave a
choice, a delivery is optional, or may have either form.
"""

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from tests.conformance.wire import Property, matches


@dataclass(frozen=True)
class Message:
    """A publication; its payload is that of no other."""

    payload: bytes
    topic: str
    qos: int
    retain: bool
    publisher: str
    properties: tuple[Property, ...] = ()
    empty: bool = False  # of a payload that ends what is retained


@dataclass(frozen=True)
class Subscription:
    """What a client asks for."""

    filter: str
    qos: int
    no_local: bool = False
    as_published: bool = False
    handling: int = 0
    id: int = 0

    @property
    def group(self) -> str:
        return self.filter.split("/")[1] if self.filter.startswith("$share/") else ""

    def wants(self, topic: str) -> bool:
        plain = self.filter.split("/", 2)[2] if self.group else self.filter
        return matches(plain.split("/"), topic.split("/"))


@dataclass(frozen=True)
class Form:
    """How a message has to look; the RETAIN flag may be any of `retain`."""

    payload: bytes
    topic: str
    qos: int
    retain: frozenset[bool]
    ids: tuple[int, ...]
    properties: tuple[Property, ...]


class State(Enum):
    """How far a delivery has got."""

    WAITING = auto()
    SENT = auto()
    RELEASED = auto()


@dataclass(eq=False)
class Delivery:
    """A message on its way to one client. `order` is among those of the same publisher, topic and QoS.

    A retained one for a new subscription has none.
    """

    form: Form
    order: tuple[object, ...]
    number: int
    optional: bool = False
    state: State = State.WAITING
    id: int = 0


@dataclass(eq=False)
class ForGroup:
    """A message that one of the members of a group gets; `optional` if nobody of them was there."""

    forms: dict[str, Form]
    optional: bool = False


@dataclass
class Session:
    """What the broker knows of a client; `due` is what has still to be written on this connection."""

    client: str
    version: int
    kept: bool
    connected: bool = True
    will: Message | None = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    due: list[Delivery] = field(default_factory=list)
    unacknowledged: list[Delivery] = field(default_factory=list)

    @property
    def shares(self) -> bool:
        return any(found.group for found in self.subscriptions.values())

    def form(self, message: Message, found: list[Subscription]) -> Form:
        flags = {message.retain and one.as_published for one in found}
        return Form(
            message.payload,
            message.topic,
            min(message.qos, max(one.qos for one in found)),
            frozenset(flags),
            tuple(sorted(one.id for one in found if one.id)),
            message.properties if self.version == 5 else (),
        )

    def begin(self) -> None:
        """A connection that goes on: what was not acknowledged is due again, before all else."""
        again = [one for one in self.unacknowledged if one.state is State.SENT]
        self.unacknowledged = [one for one in self.unacknowledged if one.state is State.RELEASED]
        self.due = again + self.due

    def end(self) -> None:
        """A connection that is over takes along what has QoS 0.

        And, maybe, retained messages that it had not been sent yet.
        """
        self.connected = False
        self.due = [one for one in self.due if one.form.qos]
        for one in self.due:
            one.optional = one.optional or not one.order


class Model:
    """The broker. `present` and so on are answers that a client has to get."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Message] = {}
        self.for_groups: list[ForGroup] = []
        self.wills = 0
        self._number = 0

    def connected(self) -> list[Session]:
        return [session for session in self.sessions.values() if session.connected]

    # --- sessions ---------------------------------------------------------------------------------

    def connect(self, client: str, version: int, *, clean: bool, kept: bool, will: Message | None) -> bool:
        """Returns Session Present. A connection that the client has already is over."""
        old = self.sessions.get(client)
        mourned = None
        if old is not None and old.connected:
            mourned = old.will
            self._over(old)
        session = self.sessions.get(client)
        present = session is not None and not clean
        if session is None or clean:
            session = self.sessions[client] = Session(client, version, kept)
        session.kept, session.connected, session.will = kept, True, will
        session.begin()
        if mourned is not None:
            self._mourn(mourned, taken_over=True)
        return present

    def leave(self, client: str, *, will: bool, forget: bool = False) -> None:
        """The connection ends; `forget`: with a session expiry of 0."""
        session = self.sessions[client]
        mourned = session.will if will else None
        session.kept = session.kept and not forget
        self._over(session)
        if mourned is not None:
            self._mourn(mourned)

    def _over(self, session: Session) -> None:
        session.end()
        session.will = None
        if not session.kept:
            del self.sessions[session.client]

    def _mourn(self, will: Message, *, taken_over: bool = False) -> None:
        self.wills += 1
        self.publish(will, unsure=will.publisher if taken_over else "")

    # --- subscriptions ----------------------------------------------------------------------------

    def subscribe(self, client: str, asked: Subscription) -> None:
        session = self.sessions[client]
        new = asked.filter not in session.subscriptions
        session.subscriptions[asked.filter] = asked
        if asked.group or asked.handling == 2 or (asked.handling == 1 and not new):
            return
        for message in self.retained.values():
            if asked.wants(message.topic):
                form = session.form(message, [asked])
                own = asked.no_local and message.publisher == client
                self._due(session, replace(form, retain=frozenset({True})), (), optional=own)

    def unsubscribe(self, client: str, filter: str) -> bool:
        """Whether there was such a subscription."""
        return self.sessions[client].subscriptions.pop(filter, None) is not None

    # --- messages ---------------------------------------------------------------------------------

    def publish(self, message: Message, *, unsure: str = "") -> bool:
        """Returns whether anybody is to get it. `unsure` may get it or not."""
        if message.retain:
            self.retained.pop(message.topic, None)
            if not message.empty:
                self.retained[message.topic] = message
        wanted = False
        groups: dict[str, ForGroup] = {}
        away: dict[str, ForGroup] = {}
        for session in self.sessions.values():
            found = [one for one in session.subscriptions.values() if one.wants(message.topic)]
            for one in found:
                if one.group:
                    members = (groups if session.connected else away).setdefault(one.filter, ForGroup({}))
                    members.forms[session.client] = session.form(message, [one])
            plain = [
                one
                for one in found
                if not one.group and not (one.no_local and message.publisher == session.client)
            ]
            if plain:
                form = session.form(message, plain)
                if session.connected or form.qos:
                    wanted = True
                    order = (message.publisher, message.topic, message.qos, form.qos)
                    self._due(session, form, order, optional=session.client == unsure)
        kept = [form for members in away.values() for form in members.forms.values() if form.qos]
        wanted = wanted or bool(groups) or bool(kept)
        for filter, members in away.items():
            if filter not in groups:
                members.optional = True
                groups[filter] = members
        self.for_groups += groups.values()
        return wanted

    def _due(self, session: Session, form: Form, order: tuple[object, ...], *, optional: bool) -> None:
        self._number += 1
        session.due.append(Delivery(form, order, self._number, optional))
