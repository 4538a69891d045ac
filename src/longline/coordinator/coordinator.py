"""The role: all duties, each elected by itself."""

from collections.abc import Callable, Mapping

from longline.bus.port import Bus
from longline.coordinator.duty import Duty
from longline.coordinator.expiry import Expiry
from longline.coordinator.obituary import Obituary
from longline.coordinator.presence import Lingering, Presence
from longline.coordinator.rerouting import Rerouting
from longline.keeper.port import Keeper
from longline.register.port import Register
from longline.saver.bundle import Saver
from longline.settings import CoordinatorSettings


class Coordinator:
    """`duties` are to be run as tasks, for as long as the process lives."""

    def __init__(
        self,
        settings: CoordinatorSettings,
        node: Callable[[], str],
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        keeper: Keeper,
    ) -> None:
        self.rerouting = Rerouting(saver, bus, after=settings.unrouted_after)
        self.obituary = Obituary(saver, register, bus, keeper, grace=settings.grace)
        self.duties = tuple(
            Duty(name, keeper, node, round, every=every)
            for name, round, every in (
                ("expiry", Expiry(saver).round, 0.5),
                ("lingering", Lingering(register).round, 0.5),
                ("presence", Presence(register, saver).round, 0.25),
                ("rerouting", self.rerouting.round, 1.0),
                ("obituary", self.obituary.round, 0.5),
            )
        )

    def configure(self, settings: CoordinatorSettings) -> None:
        """Goes by other settings from now on."""
        self.rerouting.after = int(settings.unrouted_after * 1000)
        self.obituary.grace = int(settings.grace * 1000)

    def statistics(self) -> Mapping[str, int]:
        """Figures for the metrics."""
        return {
            "rounds": sum(duty.rounds for duty in self.duties),
            "failures": sum(duty.failures for duty in self.duties),
            "rerouted": self.rerouting.rerouted,
            "buried": self.obituary.buried,
        }
