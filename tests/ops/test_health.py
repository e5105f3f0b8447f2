"""Live is the process alone; ready is whether requests should come here."""

from ppcd.ops.health import Health


def test_all_is_well_without_complaints():
    health = Health(live={"loop": lambda: None}, ready={"database": lambda: None})
    assert health.live_problems() == health.ready_problems() == {}


def test_a_database_that_is_away_makes_unready_and_not_dead():
    health = Health(ready={"database": lambda: "away for 12 s", "links": lambda: None})
    assert health.live_problems() == {}
    assert health.ready_problems() == {"database": "away for 12 s"}


def test_what_is_not_alive_is_not_ready():
    health = Health(live={"loop": lambda: "stuck"})
    assert health.ready_problems() == {"loop": "stuck"}


def test_a_node_that_drains_is_not_ready():
    health = Health()
    health.stop()
    assert health.live_problems() == {}
    assert health.ready_problems() == {"node": "stopping"}
