"""How hard the properties are tried."""

from hypothesis import settings

# No deadline: on a busy machine it fails tests for being slow, not for being wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
