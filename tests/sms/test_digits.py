"""The short way to a number and to a text gives what the long way gives."""

from hypothesis import example, given
from hypothesis import strategies as st

from ppcd.smpp import Ton
from ppcd.sms.dialect import Dialect, LocalPrefix

DIALECTS = (
    Dialect(),
    Dialect(local_prefix=LocalPrefix(country_code="380", trunk_prefix="0")),
)
ADDRESSES = st.one_of(
    st.binary(max_size=20),
    st.text("0123456789", max_size=17).map(str.encode),
    st.text("0123456789+ _٣", max_size=17).map(str.encode),
)


@given(ADDRESSES, st.sampled_from(list(Ton)), st.sampled_from(DIALECTS))
def test_the_short_way_to_a_number_gives_what_the_long_way_gives(
    address: bytes, ton: int, dialect: Dialect
) -> None:
    msisdn = dialect.msisdn(address, ton)
    assert dialect.digits(address, ton) == (None if msisdn is None else msisdn.as_int)


@given(
    st.lists(st.tuples(ADDRESSES, st.sampled_from(list(Ton))), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from(DIALECTS),
)
@example(
    [(b"380971234567", Ton.INTERNATIONAL), (b"380971234568", Ton.INTERNATIONAL)], False, DIALECTS[1]
)
@example([(b"380971234567", Ton.UNKNOWN)], True, DIALECTS[0])
@example([(b"380971234567", Ton.ALPHANUMERIC)], True, DIALECTS[0])
@example([(b"0971234567", Ton.NATIONAL)], True, DIALECTS[1])
@example([(b"0971234567", Ton.INTERNATIONAL)], True, DIALECTS[1])
def test_many_numbers_are_what_each_is(
    senders: list[tuple[bytes, Ton]], alike: bool, dialect: Dialect
) -> None:
    senders = senders[:1] * 3 if alike else senders
    addresses, tons = [a for a, _ in senders], [bytes([ton]) for _, ton in senders]
    found = dialect.numbers(addresses, tons)
    numbers = [dialect.digits(address, ton) for address, ton in senders]
    assert found == [None if number is None else b"%d" % number for number in numbers]
