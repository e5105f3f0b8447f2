"""The real reactor, for the tests where a real network is the point."""

from typing import Any

import pytest


@pytest.fixture
def reactor() -> Any:
    from twisted.internet import reactor  # noqa: TID251

    return reactor
