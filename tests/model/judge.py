"""Whether what has come to clients is what the model says that they get."""

from collections.abc import Sequence

from tests.conformance import wire
from tests.conformance.wire import Packet
from tests.model.broker import Delivery, ForGroup, Form, Model, Session, State

OWN = (wire.ALIAS, wire.SUBSCRIPTION_ID)  # of a delivery, not of the message
SLACK = 1000  # s that an expiry may have been counted down


def fits(form: Form, packet: Packet) -> bool:
    """Whether a packet looks so."""
    ids = tuple(sorted(int(str(id)) for id in packet.all(wire.SUBSCRIPTION_ID)))
    found = [one for one in packet.properties if one[0] not in OWN]
    wanted = list(form.properties)
    expiry, promised = packet.number(wire.EXPIRY), dict(form.properties).get(wire.EXPIRY, 0)
    assert isinstance(promised, int)
    return (
        (packet.payload, packet.topic, packet.qos, ids) == (form.payload, form.topic, form.qos, form.ids)
        and packet.retain in form.retain
        and promised - SLACK <= expiry <= promised
        and sorted(map(str, _but_expiry(found))) == sorted(map(str, _but_expiry(wanted)))
        and packet.all(wire.USER) == [value for id, value in wanted if id == wire.USER]
    )


def _but_expiry(properties: list[wire.Property]) -> list[wire.Property]:
    return [one for one in properties if one[0] != wire.EXPIRY]


def judge(
    model: Model, arrived: Sequence[tuple[Session, list[Packet], bool]], *, all_came: bool = True
) -> None:
    """Raises AssertionError for what is missing, too much, wrong or out of order; else the model goes on.

    `arrived`: for each client what came, and whether it has acknowledged that. `all_came` is False for one
    that has not waited.
    """
    shared: list[tuple[str, Packet]] = []
    for session, packets, acknowledged in arrived:
        matched = _matched(model, session, packets)
        shared += [(session.client, packet) for packet, found in matched if found is None]
        _in_order(session, [found for _, found in matched if found is not None])
        if all_came:
            missing = [one for one in session.due if not one.optional]
            assert not missing, f"{session.client}: missing {missing}, of {packets}"
            session.due = []
        if acknowledged:
            session.unacknowledged = []
            continue
        for packet, found in matched:
            if found is not None and packet.qos:
                found.state, found.id = State.SENT, packet.id
                session.unacknowledged.append(found)
    payloads = {packet.payload for _, packet in shared}
    for payload in payloads:
        arrivals = [one for one in shared if one[1].payload == payload]
        given = [one for one in model.for_groups if payload in {form.payload for form in one.forms.values()}]
        left = _share_out(arrivals, given)
        assert left is not None, f"not due: {arrivals}; {given}; {[one[0].due for one in arrived]}"
        model.for_groups = [one for one in model.for_groups if one not in given or one in left]
    if all_came:
        missed = [one for one in model.for_groups if not one.optional]
        assert not missed, f"no member has got {missed}"


def _matched(model: Model, session: Session, packets: list[Packet]) -> list[tuple[Packet, Delivery | None]]:
    """What each packet is the delivery of. Those that no group can have sent choose first: of two copies of a
    message, one that is due anyway may have either form, and one for a group has its own."""
    forms = [form for group in model.for_groups if (form := group.forms.get(session.client)) is not None]
    of_groups = [not packet.dup and any(fits(form, packet) for form in forms) for packet in packets]
    found = {n: _due(session, packets[n]) for n in sorted(range(len(packets)), key=lambda n: of_groups[n])}
    return [(packet, found[n]) for n, packet in enumerate(packets)]


def _due(session: Session, packet: Packet) -> Delivery | None:
    """What a packet is the delivery of; None if it can only be that of a group."""
    for one in sorted(session.due, key=lambda one: one.optional):
        if fits(one.form, packet) and _identified(session, one, packet):
            session.due.remove(one)
            return one
    return None


def _share_out(arrivals: list[tuple[str, Packet]], groups: list[ForGroup]) -> list[ForGroup] | None:
    """Finds a group for each arrival, and one for each group that has to have it; returns what is left."""
    if not arrivals:
        return groups if all(one.optional for one in groups) else None
    (client, packet), *rest = arrivals
    for number, group in enumerate(groups):
        form = group.forms.get(client)
        if form is not None and fits(form, packet) and not packet.dup:
            left = _share_out(rest, groups[:number] + groups[number + 1 :])
            if left is not None:
                return left
    return None


def _identified(session: Session, one: Delivery, packet: Packet) -> bool:
    """What was sent before comes under its identifier [MQTT-4.4.0-1], and is marked [MQTT-3.3.1-1]."""
    if one.state is State.SENT:
        return packet.dup and packet.id == one.id
    return not packet.dup and (not packet.qos or packet.id not in {*in_use(session)})


def in_use(session: Session) -> list[int]:
    """Identifiers that stand for something that is not acknowledged [MQTT-2.2.1-4]."""
    return [one.id for one in (*session.unacknowledged, *session.due) if one.id]


def _in_order(session: Session, found: list[Delivery]) -> None:
    """Of one publisher, topic and QoS, in the order of publication [MQTT-4.6.0-5, 4.6.0-6]."""
    last: dict[tuple[object, ...], int] = {}
    for one in found:
        if one.order:
            assert last.get(one.order, 0) < one.number, f"{session.client}: out of order: {found}"
            last[one.order] = one.number
