"""The role: all duties, each elected by itself."""

import functools
from collections.abc import Callable, Mapping

from longline.bus.port import Bus
from longline.coordinator.dead_rooms import DeadRooms
from longline.coordinator.duty import Duty
from longline.coordinator.expiry import Expiry
from longline.coordinator.presence import Lingering, PresenceDuty
from longline.coordinator.rerouting import Rerouting
from longline.delivery.routing import route
from longline.keeper.port import Keeper
from longline.register.port import Register
from longline.saver.bundle import Saver
from longline.settings import CoordinatorSettings
from longline.telemetry.faults import Faults


class Coordinator:
    """`duties` are to be run as tasks, for as long as the process lives.

    `node` gives this process's name. What an item of a duty raises unforeseen goes to `faults`.
    """

    def __init__(
        self,
        settings: CoordinatorSettings,
        node: Callable[[], str],
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        keeper: Keeper,
        faults: Faults,
    ) -> None:
        self.rerouting = Rerouting(
            saver.routing,
            functools.partial(route, bus=bus, routing=saver.routing, inboxes=saver.inboxes, late=True),
            faults,
            after=settings.unrouted_after,
        )
        self.dead_rooms = DeadRooms(register, saver.routing, bus, keeper, faults, grace=settings.grace)
        self.duties = tuple(
            Duty(name, keeper, node, round, faults, every=every)
            for name, round, every in (
                ("expiry", Expiry(saver.expiry).round, 0.5),
                ("lingering", Lingering(register).round, 0.5),
                ("presence", PresenceDuty(register, saver.events, faults).round, 0.25),
                ("rerouting", self.rerouting.round, 1.0),
                ("dead-rooms", self.dead_rooms.round, 0.5),
            )
        )

    def configure(self, settings: CoordinatorSettings) -> None:
        """Goes by other settings from now on."""
        self.rerouting.after = int(settings.unrouted_after * 1000)
        self.dead_rooms.grace = int(settings.grace * 1000)

    def statistics(self) -> Mapping[str, int]:
        """Figures for the metrics."""
        return {
            "rounds": sum(duty.rounds for duty in self.duties),
            "failures": sum(duty.failures for duty in self.duties),
            "rerouted": self.rerouting.rerouted,
            "dead_rooms": self.dead_rooms.cleaned_up,
            "deaths_withheld": self.dead_rooms.judgement.withheld,
        }
