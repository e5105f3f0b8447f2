"""Sessions paid, refused, tried again: over HTTP, on a real database."""

import pytest

from ppcd.charge.debit import DenialReason
from ppcd.store.failures import NotApplied
from ppcd.store.limits import SumLimits
from tests.builders import Store
from tests.checkout.world import World, events

PROMPT = "Для подтверждения оплаты, отправьте ДА в ответ"


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def test_variant_1_goes_from_tariff_to_number_to_prompt_to_paid(world: World) -> None:
    session = world.opened()
    got = world.get(session)
    assert got.title == "Выберите тариф"
    assert "250 gold 25,00 грн Выбрать" in " ".join(got.words.split())
    got = world.get(session + "?offer=1")
    assert got.title == "Для оплаты введите номер Вашего мобильного телефона"
    assert "50,00 грн" in got.words
    got = world.pay(session, offer=1)
    assert got.title == PROMPT
    assert str(world.phone) not in got.text
    assert "+380 97 ••• •• " in got.words
    world.answer()
    got = world.get(session)
    assert got.title == "Услуга оплачена"
    assert "500 gold, 50,00 грн" in got.words
    charge = world.charge()
    assert (charge.amount_minor, charge.product_id) == (5000, "gold-500")
    assert charge.msisdn == world.phone


def test_variant_2_asks_for_everything_at_once(world: World) -> None:
    session = world.opened(variant=2)
    got = world.get(session)
    assert got.title == "Для оплаты введите номер Вашего мобильного телефона"
    assert got.text.count('type="radio"') == 3
    assert world.pay(session, offer=2).title == PROMPT
    assert world.charge().amount_minor == 10_000


def test_a_known_number_is_masked_and_one_press_pays(world: World) -> None:
    session = world.opened(tariffs=["gold-250"], phoneNumber=f"+{world.phone}")
    got = world.get(session)
    assert got.title.startswith("Оплата с номера +380 97 ••• •• ")
    assert str(world.phone)[3:] not in got.text
    assert 'type="tel"' not in got.text
    assert world.pay(session, same=1).title == PROMPT
    assert world.charge().msisdn == world.phone


def test_a_known_number_is_nobodys_to_change(world: World) -> None:
    session = world.opened(tariffs=["gold-250"], phoneNumber=f"+{world.phone}")
    world.pay(session, phone="+380979999999")
    assert world.charge().msisdn == world.phone


def test_a_free_amount_is_a_session_without_a_tariff(world: World) -> None:
    session = world.opened(amount=12.5, currency="UAH", description="Кофе", referenceCode="c-1")
    assert "Кофе 12,50 грн" in " ".join(world.get(session).words.split())
    world.pay(session)
    charge = world.charge()
    assert (charge.amount_minor, charge.description, charge.reference) == (1250, "Кофе", "c-1")
    assert charge.product_id is None


# -- endings


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        (DenialReason.INSUFFICIENT_FUNDS, "На счёте не хватает денег"),
        (DenialReason.SERVICE_DENIED, "Оплата с этого номера запрещена"),
        (DenialReason.USER_UNKNOWN, "Оператор не знает этот номер"),
        (DenialReason.LIMIT_EXCEEDED, "Превышен лимит оплат"),
        (DenialReason.BILLING_REJECTED, "Оператор отклонил оплату"),
    ],
)
def test_billings_refusals_are_told(world: World, reason: DenialReason, title: str) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    charge = world.charge()
    world.store.query("DELETE FROM awaiting WHERE charge_id = %s", charge.charge_id)
    world.store.query(
        "INSERT INTO outcome VALUES (%s, 'denied', %s, NULL, business_now())",
        *(charge.charge_id, reason.value),
    )
    got = world.get(session)
    assert got.title == title
    assert "Деньги не списаны." in got.words
    assert "Попробовать снова" in got.words


def test_a_no_is_told_and_can_be_tried_again(world: World) -> None:
    session = world.opened(referenceCode="order-7", tariffs=["gold-250"])
    world.pay(session)
    world.answer("НЕТ")
    got = world.get(session)
    assert got.title == "Вы отказались от оплаты"
    again = world.get(session + "?again=1")
    assert again.title.startswith("Оплата с номера +380 97")  # the same number, one press
    assert world.pay(session, after=1, same=1).title == PROMPT
    world.answer()
    assert world.get(session).title == "Услуга оплачена"
    assert [charge.reference for charge in world.charges()] == ["order-7", "order-7-2"]


def test_another_number_may_pay_after_a_failure(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.answer("НЕТ")
    assert 'type="tel"' in world.get(session + "?again=1&other=1").text
    world.pay(session, after=1, phone="+380971999999")
    assert world.charge().msisdn == 380971999999


def test_an_expired_prompt_is_told_and_can_be_tried_again(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.steps.pass_(601)
    got = world.get(session)
    assert got.title == "Время вышло"
    assert "Попробовать снова" in got.words


def test_a_cancelled_try_is_told(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    assert world.post(session + "/cancel").status == 303
    assert world.get(session).title == "Оплата отменена"


def test_a_cancel_that_loses_to_the_yes_changes_nothing(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.answer()
    world.post(session + "/cancel")
    assert world.get(session).title == "Услуга оплачена"


def test_an_undelivered_prompt_is_told(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.steps.receipt(world.charge())
    assert world.get(session).title == "SMS не доставлено"


def test_doubt_is_neither_paid_nor_failed(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    charge = world.charge()
    world.store.query("DELETE FROM awaiting WHERE charge_id = %s", charge.charge_id)
    world.store.query(
        """INSERT INTO debit_job (charge_id, partner_id, msisdn, amount_minor, currency, billing,
                                  confirmed_at, start_by, doubt_since, run_at)
           VALUES (%s, %s, %s, 2500, 'UAH', 'sim', business_now(), business_now(),
                   business_now(), business_now() + interval '1 hour')""",
        *(charge.charge_id, charge.partner_id, charge.msisdn),
    )
    got = world.get(session)
    assert got.title == "Оператор пока не ответил"
    assert "Платить повторно не нужно" in got.words
    assert "Попробовать" not in got.words
    # And the store holds to it, whatever a browser sends.
    world.pay(session, after=1, same=1)
    assert len(world.charges()) == 1


def test_a_code_is_asked_for_where_the_prompt_asks(world: World) -> None:
    world.steps.with_code = True
    session = world.opened(tariffs=["gold-250"])
    got = world.pay(session)
    assert got.title == "Для подтверждения оплаты, отправьте ДА и код в ответ"
    assert "3821" not in got.text


# -- what is wrong is said beside the field


@pytest.mark.parametrize("typed", ["", "12", "hello", "0971234", "+38097123456", "<b>"])
def test_a_malformed_number_is_said(world: World, typed: str) -> None:
    session = world.opened(tariffs=["gold-250"])
    got = world.pay(session, phone=typed)
    assert got.status == 422
    assert "Проверьте номер" in got.words
    assert "aria-invalid" in got.text
    assert "<b>" not in got.text
    assert world.charges() == []


def test_another_operators_number_is_said(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    got = world.pay(session, phone="+48501234567")
    assert got.status == 422
    assert "он другого оператора" in got.words
    assert world.charges() == []


@pytest.mark.parametrize("offer", ["", "3", "-1", "x", "99999"])
def test_an_offer_that_is_not_there_is_not_sold(world: World, offer: str) -> None:
    session = world.opened()
    got = world.post(session, after=0, offer=offer, phone=f"+{world.phone}")
    assert got.status == 422
    assert "Выберите тариф." in got.words
    assert world.charges() == []


def test_too_many_open_requests_for_a_number_are_said(world: World) -> None:
    for _ in world.steps.pool:
        world.pay(world.opened(tariffs=["gold-250"]))
    session = world.opened(tariffs=["gold-250"])
    got = world.pay(session)
    assert "слишком много запросов без ответа" in got.words
    world.answer("НЕТ")
    # The reply address was asked from before, so a code is asked for.
    assert "ДА и код" in world.pay(session, after=1, same=1).title


def test_a_limit_that_is_used_up_is_said_and_another_number_may_pay(world: World) -> None:
    world.steps.sum_limits = SumLimits(subscriber_day={"UAH": 2500})
    world.pay(world.opened(tariffs=["gold-250"]))
    world.answer()
    session = world.opened(tariffs=["gold-250"])
    assert "Лимит оплат исчерпан" in world.pay(session).words
    assert world.pay(session, after=1, phone="+380979999999").title == PROMPT


# -- once


def test_a_paid_session_is_never_paid_again(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.answer()
    for after in (0, 1, 2):
        assert world.pay(session, after=after).title == "Услуга оплачена"
    assert "again" not in world.get(session + "?again=1").text
    assert len(world.charges()) == 1


def test_pressing_twice_is_pressing_once(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    assert world.pay(session, phone="+380971777777").title == PROMPT
    assert world.pay(session, after=1, phone="+380971777777").title == PROMPT
    assert len(world.charges()) == 1


def test_five_tries_are_enough(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    for after in range(5):
        assert "Для подтверждения" in world.pay(session, after=after).title
        world.answer("НЕТ")
    assert "Попробовать снова" not in world.get(session).words
    assert "По этой ссылке больше платить нельзя" in world.get(session).words
    world.pay(session, after=5)
    assert len(world.charges()) == 5


def test_a_reference_that_is_being_paid_elsewhere_is_not_paid_here(world: World) -> None:
    world.pay(world.opened(tariffs=["gold-250"], referenceCode="order-1"))
    second = world.opened(tariffs=["gold-250"], referenceCode="order-1")
    assert world.pay(second).title == "Этот заказ уже оплачивается"
    # Nor by a suffix.
    world.pay(second, after=1)
    assert len(world.charges()) == 1


def test_an_expired_session_can_not_be_begun(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.store.ahead(1801)
    assert world.get(session).title == "Срок действия ссылки истёк"
    world.pay(session)
    assert world.charges() == []


def test_a_try_begun_in_time_is_shown_to_its_end(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.store.ahead(1750)
    world.pay(session)
    world.store.ahead(100)
    assert world.get(session).title == PROMPT
    world.answer()
    assert world.get(session).title == "Услуга оплачена"


def test_a_try_that_nobody_knows_of_is_gone_on_with(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.steps.ids.failure = NotApplied("no ids")
    assert world.pay(session).title == "Готовим оплату…"
    # Pressed while it still does not work, and then when it does: the number stands.
    assert world.pay(session).title == "Готовим оплату…"
    world.steps.ids.failure = None
    assert world.pay(session, phone="+380971777777").title == PROMPT
    assert [charge.msisdn for charge in world.charges()] == [world.phone]
    world.answer()
    assert world.get(session).title == "Услуга оплачена"


def test_a_charge_made_by_a_try_that_crashed_is_found_again(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    world.store.query("UPDATE checkout_session SET try_charge_id = NULL")
    assert world.get(session).title == "Готовим оплату…"
    assert world.pay(session).title == PROMPT
    assert len(world.charges()) == 1


# -- live


def test_an_open_page_is_told_of_each_change_at_once(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    peer = world.listens(session)
    [first] = events(peer.got())
    assert PROMPT in first["html"]
    assert first["live"]
    world.answer()
    world.steps.clock.advance(0.3)
    data = peer.got()
    assert [event["result"] for event in events(data)] == ["succeeded"]
    assert "Услуга оплачена" in events(data)[0]["html"]
    assert data.endswith(b"0\r\n\r\n")
    peer.hangs_up()


def test_a_silent_stream_says_something_and_a_gone_reader_leaves_nothing(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    peer = world.listens(session)
    peer.got()
    for _ in range(62):
        world.steps.clock.advance(0.25)
    assert b": still here" in peer.got()
    assert world.checkout.live.count == 1
    peer.hangs_up()
    assert world.checkout.live.count == 0
    world.steps.clock.advance(1)
    assert not [c for c in world.steps.clock.getDelayedCalls() if "live" in repr(c.func)]


def test_a_stopping_node_sends_its_pages_away(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    peer = world.listens(session)
    peer.got()
    world.checkout.stop()
    assert peer.got().endswith(b"0\r\n\r\n")
    peer.hangs_up()
    late = world.listens(session)
    assert late.answer()[0] == 204
    late.hangs_up()


def test_a_store_that_is_away_for_a_moment_is_asked_again(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    peer = world.listens(session)
    peer.got()
    run = world.steps.runner.run

    async def away(*_: object, **__: object) -> None:
        raise NotApplied("the database is away")

    world.steps.runner.run = away  # type: ignore[assignment, method-assign]
    world.steps.clock.advance(0.3)
    world.steps.runner.run = run  # type: ignore[method-assign]
    world.answer()
    world.steps.clock.advance(0.3)
    assert [event["result"] for event in events(peer.got())] == ["succeeded"]
    peer.hangs_up()


def test_polling_tells_the_same(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    got = world.get(session + "/state")
    assert (got.json["live"], got.json["result"]) == (True, "processing")
    world.answer()
    got = world.get(session + "/state")
    assert (got.json["live"], got.json["result"]) == (False, "succeeded")
    assert "Услуга оплачена" in got.json["html"]
    assert world.get("/pay/nowhere/state").status == 404


def test_without_scripts_a_waiting_page_asks_again_by_itself(world: World) -> None:
    session = world.opened(tariffs=["gold-250"])
    assert "http-equiv" not in world.get(session).text
    assert '<noscript><meta http-equiv="refresh"' in world.pay(session).text
    world.answer()
    assert "http-equiv" not in world.get(session).text


# -- languages


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("uk-UA,uk;q=0.9", "Для підтвердження оплати надішліть ТАК у відповідь"),
        ("ru", PROMPT),
        ("en-GB,en;q=0.8", "To confirm the payment, reply YES to the text"),
        ("fr", PROMPT),  # the partner's own
    ],
)
def test_the_browser_chooses_the_language(world: World, asked: str, said: str) -> None:
    session = world.opened(tariffs=["gold-250"])
    world.pay(session)
    assert world.get(session, language=asked).title == said


def test_the_session_chooses_before_the_browser_and_the_person_before_both(world: World) -> None:
    session = world.opened(language="uk")
    assert world.get(session, language="en").title == "Оберіть тариф"
    got = world.get(session + "?lang=en", language="ru")
    assert got.title == "Choose a plan"
    assert 'name="lang" value="en"' in got.text
    assert "lang=en" in world.get(session + "?lang=en&offer=0").text


def test_the_prompt_speaks_the_pages_language(world: World) -> None:
    session = world.opened(tariffs=["gold-250"], language="uk")
    world.pay(session)
    assert "надішліть ТАК" in world.steps.texts(world.charge())[0]


def test_a_store_that_is_away_is_said_as_a_page(world: World) -> None:
    session = world.opened()

    async def broken(name: str) -> None:
        raise NotApplied("the database is away")

    world.checkout._pages._sessions.find = broken  # type: ignore[method-assign, assignment]
    got = world.get(session)
    assert got.status == 503
    assert got.title == "Что-то пошло не так"


def test_a_page_that_is_not_there_is_said(world: World) -> None:
    for path in ("/pay/nowhere", "/pay/%D0%B0", "/pay/" + "a" * 65):
        got = world.get(path)
        assert got.status == 404
        assert got.title == "Такой страницы нет"
        assert world.post(path).status == 404
