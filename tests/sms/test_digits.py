"""The short way to a number and to a text gives what the long way gives."""

from hypothesis import given
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
