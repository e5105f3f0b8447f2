"""The contracts as served, for people and generators; they need no key."""

from importlib.resources import files

from ppcd.http.messages import Request, Response
from ppcd.http.router import Handler


def served(name: str) -> Handler:
    """A handler that gives the file of that name under `openapi`."""

    async def contract(request: Request) -> Response:
        body = files("ppcd.partner").joinpath(f"openapi/{name}").read_bytes()
        return Response(200, [(b"Content-Type", b"application/yaml")], body)

    return contract
