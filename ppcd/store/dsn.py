"""The connection string, from what the configuration says and the password kept apart from it."""

from collections.abc import Mapping

from psycopg import conninfo


def dsn_of(dsn: str | None, parameters: Mapping[str, str], password: str | None) -> str:
    """One connection string for libpq; holds the password, so it is not to be shown."""
    extra = dict(parameters)
    if password is not None:
        extra["password"] = password
    return conninfo.make_conninfo(dsn or "", **extra)
