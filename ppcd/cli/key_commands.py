"""The arguments of `ppcd partner …` that are about what may be done in a partner's name."""

from ppcd.cli.tree import Commands, command, json_option
from ppcd.partner.scopes import Scope


def key_commands(partner: Commands) -> None:
    """Add them to `ppcd partner`."""
    add = command(
        partner, "add-key", "ppcd.cli.keys.add_key", "one more key, for a purpose; shown once"
    )
    add.add_argument("name")
    add.add_argument("--label", required=True, help="what it is for, such as 'web shop'")
    add.add_argument(
        "--scope",
        action="append",
        default=[],
        choices=tuple(Scope),
        help="what it may do; may be given several times; default: everything",
    )
    add.add_argument("--days", type=float, metavar="N", help="good for so long; default: for ever")
    add.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="CIDR",
        help="good only from there; may be given several times; default: from anywhere",
    )
    json_option(add)
    listing = command(partner, "list-keys", "ppcd.cli.keys.list_keys", "a partner's keys")
    listing.add_argument("name")
    json_option(listing)
    revoke = command(
        partner, "revoke-key", "ppcd.cli.keys.revoke_key", "a key opens nothing from now on"
    )
    revoke.add_argument("name")
    revoke.add_argument("id", type=int, help="as `list-keys` shows it")
    tokens = command(
        partner,
        "revoke-tokens",
        "ppcd.cli.keys.revoke_tokens",
        "access tokens open nothing from now on; the keys that they came from stay good",
    )
    tokens.add_argument("name")
    tokens.add_argument("--key", type=int, metavar="ID", help="only those of this key")
    close = command(
        partner,
        "close",
        "ppcd.cli.keys.close",
        "no key or token of it opens anything; what it has begun comes to its end",
    )
    close.add_argument("name")
    close.add_argument("--reopen", action="store_true", help="open it again")
    _certificates(partner)
    networks = command(
        partner, "set-networks", "ppcd.cli.keys.set_networks", "where a partner may call from"
    )
    networks.add_argument("name")
    networks.add_argument(
        "network", nargs="*", metavar="CIDR", help="such as 192.0.2.0/24; none: from anywhere"
    )


def _certificates(partner: Commands) -> None:
    add = command(
        partner,
        "add-certificate",
        "ppcd.cli.certificates.add",
        "a TLS certificate of its own, shown beside a key or instead of one",
    )
    add.add_argument("name")
    what = add.add_mutually_exclusive_group(required=True)
    what.add_argument("--file", metavar="PEM", help="this very certificate, by its fingerprint")
    what.add_argument("--fingerprint", metavar="SHA256", help="the same, as 64 hexadecimal digits")
    what.add_argument(
        "--subject", metavar="DN", help="any with this subject, such as CN=shop,O=GameX"
    )
    what.add_argument("--subject-of", metavar="PEM", help="any with the subject of this one")
    add.add_argument("--label", default="", help="what it is for")
    add.add_argument(
        "--scope",
        action="append",
        default=[],
        choices=tuple(Scope),
        help="what it may do instead of a key; may be given several times; default: everything",
    )
    json_option(add)
    listing = command(
        partner, "list-certificates", "ppcd.cli.certificates.show", "a partner's TLS certificates"
    )
    listing.add_argument("name")
    json_option(listing)
    revoke = command(
        partner,
        "revoke-certificate",
        "ppcd.cli.certificates.revoke",
        "a certificate opens nothing from now on",
    )
    revoke.add_argument("name")
    revoke.add_argument("id", type=int, help="as `list-certificates` shows it")
