"""Generated tests here have no deadline: a busy machine is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("mqtt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mqtt")
