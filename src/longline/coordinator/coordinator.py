"""The role: all duties, each elected by itself."""

import functools
from collections.abc import Callable, Mapping

from longline.bus.port import Bus
from longline.coordinator.dead_rooms import DeadRooms
from longline.coordinator.duty import Duty
from longline.coordinator.expiry import Expiry
from longline.coordinator.presence import DeviceChangeDuty, Lingering, PresenceDuty
from longline.coordinator.rerouting import Rerouting
from longline.coordinator.retirement import Retirement
from longline.coordinator.schedules import Schedules
from longline.coordinator.sessions import LeftOfGroups, SessionEnds, WillDuty
from longline.coordinator.statistics import StatisticsDuty
from longline.coordinator.untold import UntoldDuty
from longline.coordinator.webhooks import LOOK_EVERY, Webhooks
from longline.delivery.checking import AudienceBounds
from longline.delivery.limits import LimitsOfApps
from longline.delivery.pipeline import Pipeline
from longline.delivery.routing import route
from longline.delivery.zones import Zones
from longline.keeper.port import Keeper
from longline.register.port import Register
from longline.saver.bundle import Saver
from longline.settings import CoordinatorSettings, WebhookSettings
from longline.telemetry.faults import Faults


class Coordinator:
    """`duties`, and `webhooks`, are to be run as tasks, for as long as the process lives.

    `node` gives this process's name; what schedules send goes into `pipeline`, and its audiences have
    `bounds`. What an item of a duty raises unforeseen goes to `faults`.
    """

    def __init__(
        self,
        settings: CoordinatorSettings,
        node: Callable[[], str],
        *,
        pipeline: Pipeline,
        bounds: AudienceBounds,
        saver: Saver,
        register: Register,
        bus: Bus,
        keeper: Keeper,
        faults: Faults,
        webhooks: WebhookSettings | None = None,
        limits: LimitsOfApps | None = None,
    ) -> None:
        self.rerouting = Rerouting(
            saver.routing,
            functools.partial(route, bus=bus, routing=saver.routing, inboxes=saver.inboxes, late=True),
            faults,
            after=settings.unrouted_after,
        )
        self.untold = UntoldDuty(saver.queues, bus, after=settings.unrouted_after)
        self.wills = WillDuty(saver.apps, saver.sessions, saver.queues, saver.retained, bus, faults)
        self.left_of_groups = LeftOfGroups(saver.queues, bus)
        self.schedules = Schedules(
            pipeline,
            saver.apps,
            Zones(saver.devices, saver.audiences, bounds),
            saver.messages,
            saver.schedules,
            faults,
        )
        self.dead_rooms = DeadRooms(
            register, saver.routing, saver.sessions, bus, keeper, faults, grace=settings.grace
        )
        self.webhooks = Webhooks(webhooks or WebhookSettings(), saver.events, saver.webhooks, faults)
        self._limits = limits or LimitsOfApps()
        self.retirement = Retirement(
            saver.apps, saver.retirement, lambda app: self._limits.of(app).retire_after
        )
        self.duties = tuple(
            Duty(name, keeper, node, round, faults, every=every)
            for name, round, every in (
                ("expiry", Expiry(saver.expiry).round, 0.5),
                ("lingering", Lingering(register).round, 0.5),
                ("presence", PresenceDuty(register, saver.events, faults).round, 0.25),
                ("device-changes", DeviceChangeDuty(saver.events).round, 0.5),
                ("retirement", self.retirement.round, 1.0),
                ("statistics", StatisticsDuty(saver.counts).round, 15.0),
                ("rerouting", self.rerouting.round, 1.0),
                ("untold", self.untold.round, 1.0),
                ("schedules", self.schedules.round, 0.2),
                ("dead-rooms", self.dead_rooms.round, 0.5),
                ("sessions", SessionEnds(saver.sessions).round, 0.5),
                ("left-of-groups", self.left_of_groups.round, 0.5),
                ("wills", self.wills.round, 0.5),
                ("webhooks", self.webhooks.round, LOOK_EVERY),
            )
        )

    def configure(self, settings: CoordinatorSettings) -> None:
        """Goes by other settings from now on."""
        self.rerouting.after = int(settings.unrouted_after * 1000)
        self.untold.after = int(settings.unrouted_after * 1000)
        self.dead_rooms.grace = int(settings.grace * 1000)

    def statistics(self) -> Mapping[str, int]:
        """Figures for the metrics."""
        return {
            "rounds": sum(duty.rounds for duty in self.duties),
            "failures": sum(duty.failures for duty in self.duties),
            "rerouted": self.rerouting.rerouted,
            "told_again": self.untold.told,
            "dead_rooms": self.dead_rooms.cleaned_up,
            "devices_retired": self.retirement.retired,
            "wills": self.wills.published,
            "left_of_groups": self.left_of_groups.handed_on,
            "left_of_groups_lost": self.left_of_groups.lost,
            "schedules_fired": self.schedules.fired,
            "schedules_delayed": self.schedules.delayed,
            "schedules_late_ms": self.schedules.late,
            "schedules_waiting": self.schedules.waiting,
            "deaths_withheld": self.dead_rooms.judgement.withheld,
        }
