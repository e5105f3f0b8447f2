"""A partner's colour, whatever it is, leaves the page legible."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcd.checkout.color import DARK, LIGHT, contrast, legible, style_sheet

colors = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@given(colors)
def test_every_colour_can_be_read_on_both_backgrounds(color: str) -> None:
    for background in (LIGHT, DARK):
        assert contrast(legible(color, background), background) >= 4.5


@given(colors)
def test_what_is_written_on_a_button_can_be_read(color: str) -> None:
    themes = re.findall(
        r"--brand:(#\w+);--brand-strong:(#\w+);--on-brand:(#\w+)", style_sheet(color)
    )
    assert len(themes) == 2
    for (brand, strong, on), background in zip(themes, (LIGHT, DARK), strict=True):
        assert contrast(on, brand) >= 4.5
        assert contrast(on, strong) >= 4.5
        assert contrast(brand, background) >= 1.3


def test_a_legible_colour_is_left_as_it_is() -> None:
    assert legible("#4f37d8", LIGHT) == "#4f37d8"
