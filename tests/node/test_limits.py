"""Two running nodes on one database: what is spent through one leaves less for the other."""

from collections.abc import Iterator

import pytest

from tests.node.world import World, a_world, wait_for

#: A payment of these tests is 25 UAH.
LIMITS = "{subscriber_day_max: {UAH: 40.00}, charge_max: {UAH: 100.00}}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("limits"), limits=LIMITS) as world:
        world.add_node().start()
        yield world


def test_what_is_spent_through_one_node_is_spent_for_all(world: World) -> None:
    one, two = world.nodes
    phone = "380970300001"
    first, second = one.prompted(phone, "sum-1"), two.prompted(phone, "sum-2")
    world.reply(phone, "ДА")
    assert two.payment(second, wait_s=20)["paymentStatus"] == "succeeded"
    over = one.create(phone, "sum-3")
    assert over.status == 422
    assert over.json["code"] == "CARRIER_BILLING.USER_AMOUNT_THRESHOLD_OVERPASSED"
    # The first was asked before: its yes ends without money.
    world.reply(phone, "ДА", to=world.messages(phone)[0]["from"])
    denied = one.payment(first, wait_s=20)
    assert (denied["paymentStatus"], denied["denialReason"]) == ("denied", "LIMIT_EXCEEDED")


def test_a_partners_own_limit_is_in_force_within_seconds(world: World) -> None:
    world.node.run_command(
        *("partner", "set-limits", "gamex", "--currency", "UAH", "--charge", "10.00")
    )

    def refused() -> bool:
        answer = world.node.create("380970300002", f"own-{next(numbers)}")
        return answer.json.get("code") == "CARRIER_BILLING.UNAUTHORIZED_AMOUNT"

    numbers = iter(range(1000))
    wait_for("the limit", refused)
