"""What the API tells of the limits of apps."""

from longline.model.limits import AppLimits, Limits


class LimitsOfApp(AppLimits, frozen=True, kw_only=True, omit_defaults=False):
    """The limits of an app's own, None where the default holds; `in_force`: those that hold."""

    in_force: Limits
