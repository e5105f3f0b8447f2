"""A partner's colour made legible: what is written on it, and what is written in it.

Pure arithmetic of WCAG 2: a contrast of 4.5 for text, whatever the partner chose.
"""

from typing import Final

_CONTRAST_MIN: Final = 4.6
#: A button must at least be seen as one, whatever is written on it.
_EDGE_MIN: Final = 1.3
_ON_DARK, _ON_LIGHT = "#ffffff", "#000000"
#: The page's own backgrounds in pay.css, light and dark: panel and tint must both be legible.
LIGHT: Final = "#ffffff"
DARK: Final = "#1a1c29"
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

_Rgb = tuple[int, int, int]


def _rgb(color: str) -> _Rgb:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _hex(rgb: _Rgb) -> str:
    return "#" + "".join(f"{part:02x}" for part in rgb)


def _luminance(rgb: _Rgb) -> float:
    linear = []
    for part in rgb:
        share = part / 255
        linear.append(share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two #rrggbb colours, 1 to 21."""
    high, low = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _mixed(color: _Rgb, other: _Rgb, share: float) -> _Rgb:
    mixed = [round(a + (b - a) * share) for a, b in zip(color, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def legible(color: str, background: str) -> str:
    """The colour, moved towards black or white until it can be read on that background."""
    return _moved(color, background, _CONTRAST_MIN)


def _moved(color: str, background: str, contrast_min: float) -> str:
    toward = _BLACK if _luminance(_rgb(background)) > 0.5 else _WHITE
    for step in range(21):
        moved = _hex(_mixed(_rgb(color), toward, step / 20))
        if contrast(moved, background) >= contrast_min:
            return moved
    raise AssertionError("black and white can be read on all of our backgrounds")


def style_sheet(color: str) -> str:
    """CSS that puts a partner's colour, #rrggbb in small letters, in the place of ours."""

    def theme(background: str) -> str:
        brand = _moved(color, background, _EDGE_MIN)
        on = _ON_DARK if contrast(_ON_DARK, brand) >= _CONTRAST_MIN else _ON_LIGHT
        strong = _hex(_mixed(_rgb(brand), _BLACK if on == _ON_DARK else _WHITE, 0.15))
        tint = _hex(_mixed(_rgb(background), _rgb(brand), 0.07))
        accent = legible(color, background)
        return (
            f":root{{--brand:{brand};--brand-strong:{strong};--on-brand:{on};"
            f"--accent:{accent};--tint:{tint}}}"
        )

    return f"{theme(LIGHT)}@media(prefers-color-scheme:dark){{{theme(DARK)}}}\n"
