"""The page's own files, as browsers get them: named by content, so that they keep them."""

import hashlib
import re
from importlib.resources import files
from typing import Final

from ppcd.checkout.color import style_sheet
from ppcd.checkout.html import Files
from ppcd.http.messages import Request, Response
from ppcd.http.router import Router

BASE: Final = "/checkout/v1"
_TYPES: Final = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_NOSNIFF: Final = (b"X-Content-Type-Options", b"nosniff")
_FOR_EVER: Final = (b"Cache-Control", b"public, max-age=31536000, immutable")
#: Partners' pages name it without a version: a new release reaches them within the hour.
_FOR_AN_HOUR: Final = (b"Cache-Control", b"public, max-age=3600")
_COLOR: Final = re.compile(r"([0-9a-f]{6})\.css")


class AssetFiles:
    """What `ppcd/checkout/assets` holds."""

    def __init__(self) -> None:
        folder = files("ppcd.checkout").joinpath("assets")
        self._content = {
            entry.name: entry.read_bytes()
            for entry in folder.iterdir()
            if entry.name.rpartition(".")[2] in _TYPES
        }
        version = hashlib.sha256(b"".join(v for _, v in sorted(self._content.items())))
        base = f"{BASE}/assets/{version.hexdigest()[:12]}"
        self.files = Files(
            css=f"{base}/pay.css",
            js=f"{base}/pay.js",
            icon=f"{base}/pay.svg",
            brand=f"{BASE}/brand/",
        )

    def add_routes(self, router: Router) -> None:
        # Any version: a page of the release before may still ask while nodes are being replaced.
        router.add("GET", BASE + "/assets/{version}/{file}", self._asset)
        router.add("GET", BASE + "/brand/{color}", self._brand)
        router.add("GET", BASE + "/checkout.js", self._button)
        router.add("GET", "/openapi/checkout.yaml", _contract)

    async def _asset(self, request: Request) -> Response:
        name = request.params["file"]
        content = self._content.get(name)
        if content is None:
            return Response(404, [_NOSNIFF])
        kind = (b"Content-Type", _TYPES[name.rpartition(".")[2]])
        return Response(200, [kind, _NOSNIFF, _FOR_EVER], content)

    async def _brand(self, request: Request) -> Response:
        found = _COLOR.fullmatch(request.params["color"])
        if found is None:
            return Response(404, [_NOSNIFF])
        headers = [(b"Content-Type", _TYPES["css"]), _NOSNIFF, _FOR_EVER]
        return Response(200, headers, style_sheet("#" + found[1]).encode("ascii"))

    async def _button(self, request: Request) -> Response:
        headers = [(b"Content-Type", _TYPES["js"]), _NOSNIFF, _FOR_AN_HOUR]
        return Response(200, headers, self._content["checkout.js"])


async def _contract(request: Request) -> Response:
    """The contract as served, for people and generators; needs no key."""
    body = files("ppcd.checkout").joinpath("openapi/checkout.yaml").read_bytes()
    return Response(200, [(b"Content-Type", b"application/yaml")], body)
