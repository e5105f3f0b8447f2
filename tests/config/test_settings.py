"""A wrong value is said in a sentence, at its place, together with all the others."""

import pytest

from ppcd.config import ConfigurationError, changes, load
from ppcd.config.models import models_of
from ppcd.config.settings import Settings
from ppcd.smpp import Advice, Status
from tests.config.files import good, loaded, problems, with_change


def test_the_least_configuration_loads(tmp_path):
    settings = loaded(tmp_path, good(tmp_path))
    assert settings.node.name == "ppcd"
    assert settings.charges.lifetime_s == 600
    assert settings.routes["games"].pool.addresses()[-1] == "717131"
    assert settings.warnings == ()


BAD = [
    ("database.lanes", "0", "must be between 1 and 32, got '0'"),
    ("database.lanes", "1e1", "must be a whole number, got '1e1'"),
    ("database.lanes", "03", "must be a whole number, got '03'"),
    ("database.statement_timeout_s", "0", "must be above 0 and at most 300, got '0'"),
    ("database.statement_timeout_s", "nan", "must be a number, got 'nan'"),
    ("database.statement_timeout_s", "1_0", "must be a number, got '1_0'"),
    (
        "database.sslmode",
        "yes",
        "must be one of disable, prefer, require, verify-ca or verify-full",
    ),
    ("database.dsn", "postgresql://u:p@h/d", "must not hold a password: use password_file"),
    ("database.dsn", "host=h password=p", "must not hold a password: use password_file"),
    ("links.main.window_max", "0", "must be between 1 and 1000, got '0'"),
    ("links.main.window_max", ["1"], "must be a whole number, got a list"),
    ("links.main.window_max", {"a": "1"}, "must be a whole number, got a mapping"),
    ("links.main.rate_max", "0", "must be above 0 and at most 10000, got '0'"),
    ("links.main.port", "70000", "must be between 1 and 65535, got '70000'"),
    ("links.main.port", None, "must be given"),
    ("links.main.mo_trusted", "maybe", "must be true or false, got 'maybe'"),
    ("links.main.system_id", "x" * 16, "must be between 1 and 15 characters, got"),
    ("links.main.system_id", "", "must be between 1 and 15 characters, got ''"),
    ("links.main.host", "", "must not be empty, got ''"),
    ("links.main.windowmax", "1", "unknown key; did you mean window_max?"),
    ("links.main.tls", "yes", "must be a mapping, got 'yes'"),
    ("links.main.tls", {"key_file": "/etc/passwd"}, "certificate_file and key_file go together"),
    ("links.main.backoff", {"first_s": "60", "max_s": "1"}, "max_s must not be below first_s"),
    ("links.main.host", "8.8.8.8", "is a public address and there is no tls"),
    ("links.main.not_now_status", "ESME_ROK", "must be the name of a command_status"),
    ("links.main.advice.0xZZ", "retry", "must have command_status names or numbers as keys"),
    ("links.main.advice.0", "retry", "must have command_status names or numbers as keys"),
    ("routes.games.links", ["main", "other"], "there is no link 'other' under links"),
    ("routes.games.links", ["main", "main"], "must not say anything twice"),
    ("routes.games.links", [], "must not be empty, got a list"),
    ("routes.games.billing", "other", "there is no 'other' under billing"),
    ("routes.games.pool.size", "1001", "must be between 1 and 1000, got '1001'"),
    ("routes.games.pool.first", "GAMES", "must be 1 to 15 digits, got 'GAMES'"),
    ("routes.games.pool.first", "1" * 16, "must be 1 to 15 digits"),
    ("routes.games.pool.first", "99", "32 addresses from 99 run past its digits"),
    ("routes.games.msisdn_prefixes", ["+38"], "must be digits only, got '+38'"),
    ("routes.games.code", "above", "is above, so code_above must say which amounts"),
    ("routes.games.code_above.UAH", "100", "counts only with code: above"),
    ("routes.games.code_above.uah", "100", "must have ISO 4217 codes such as UAH as keys"),
    ("routes.games.code_above.UAH", "-1", "must be an amount above 0 such as 100.00, got '-1'"),
    ("routes.games.code_above.UAH", "much", "must be an amount above 0 such as 100.00"),
    ("charges.time_zone", "Kyiv", "must be a time zone such as Europe/Kyiv, got 'Kyiv'"),
    ("charges.time_zone", "UTC; DROP", "must be a time zone such as Europe/Kyiv"),
    ("limits.charge_max.UAH", "0.001", "UAH has 2 decimals, the amount has more"),
    ("limits.partner_month_max.QQQ", "1", "QQQ"),
    ("retention.directory", "archive", "must be an absolute path, beginning with /"),
    ("retention.months_ahead", "1", "must be between 2 and 24, got '1'"),
    ("charges.language", "de", "must be one of uk, ru or en, got 'de'"),
    ("charges.lifetime_s", "5", "must be between 30 and 86400, got '5'"),
    ("texts.ru.prompt", "ДА", "{amount} is missing"),
    ("texts.ru.greeting", "ДА", "unknown kind of text; known are prompt,"),
    ("texts.partners.gamex.en.prompt", "hi", "{merchant} is missing"),
    ("words.yes", ["нет"], "these words would mean both yes and no: нет"),
    ("operations.listen", "9464", "must be HOST:PORT such as 127.0.0.1:9464, got '9464'"),
    ("operations.listen", "h:99999", "must be HOST:PORT such as 127.0.0.1:9464"),
    ("operations.socket", "ppcd.sock", "must be an absolute path, beginning with /"),
    ("log.level", "loud", "must be one of debug, info, warn or error, got 'loud'"),
    ("node.name", "Main", "must be 1 to 32 small letters, digits, - or _"),
    ("nodes", {}, "unknown key; did you mean node?"),
    ("partner_api.listen", "8080", "must be: HOST:PORT that partners"),
    ("billing.b.kind", ["sql"], "must be one of http"),
    ("billing.b", "sql", "must be a mapping, got 'sql'"),
    ("billing.b", {"kind": "sql", "dsn": "dbname=b"}, "billing.b.debit: must be given"),
    ("billing.b.kind", "smoke", "got 'smoke'"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), BAD)
def test_a_wrong_value_is_said_in_a_sentence(tmp_path, path, value, sentence):
    said = problems(tmp_path, with_change(good(tmp_path), path, value))
    assert any(sentence in line for line in said), said
    many = path.startswith("texts") or value == {"key_file": "/etc/passwd"}
    assert len(said) == 1 or many, said


def test_all_problems_come_at_once_in_the_file_s_order(tmp_path):
    text = """\
links:
  main: {host: h, port: x, system_id: a, password_file: /none}
  main: {}
routes:
  a: {links: [nope], pool: {first: "1"}, billing: b, what: 1}
billing: {b: {url: "ftp://x"}}
charges: {lifetime_s: 1}
"""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(caught.value).replace(str(path), "F").splitlines() == [
        "F:1:1: database: must be given",
        "F:2:25: links.main.port: must be a whole number, got 'x'",
        "F:2:57: links.main.password_file: /none cannot be read: No such file or directory",
        "F:3:3: links: doubled key 'main', first on line 2",
        "F:5:15: routes.a.links[0]: there is no link 'nope' under links",
        "F:5:54: routes.a.what: unknown key",
        "F:6:20: billing.b.url: must be an http:// or https:// URL without user and password",
        "F:7:23: charges.lifetime_s: must be between 30 and 86400, got '1'",
    ]


def test_an_empty_file_says_what_a_node_needs(tmp_path):
    assert problems(tmp_path, "") == [
        "billing: must be given",
        "database: must be given",
        "links: must be given",
        "routes: must be given",
    ]


def test_a_wrong_secret_value_is_not_repeated(tmp_path):
    data = with_change(good(tmp_path), "database.dsn", ["host=x password=hunter2"])
    assert "hunter2" not in str(problems(tmp_path, data))


@pytest.mark.parametrize(
    ("database", "sentence"),
    [
        ({}, "must have a dsn, or host, dbname and user"),
        ({"host": "h"}, "must have a dsn, or host, dbname and user"),
        ({"dsn": "dbname=x", "host": "h", "user": "u"}, "has a dsn, so host and user must go"),
    ],
)
def test_the_database_is_said_in_one_way(tmp_path, database, sentence):
    assert problems(tmp_path, {**good(tmp_path), "database": database}) == [f"database: {sentence}"]


def test_the_database_can_be_said_in_parts(tmp_path):
    database = {"host": "h", "dbname": "d", "user": "u", "sslmode": "verify-full"}
    settings = loaded(tmp_path, {**good(tmp_path), "database": database})
    assert settings.database.parameters() == {
        "host": "h",
        "port": "5432",
        "dbname": "d",
        "user": "u",
        "sslmode": "verify-full",
        "connect_timeout": "5",
    }


def a_route(**changed: object) -> dict:
    return {"links": "main", "pool": {"first": "800"}, "billing": "b", **changed}


def test_pools_of_different_routes_do_not_overlap(tmp_path):
    data = good(tmp_path)
    data["routes"]["other"] = a_route(pool={"first": "717130", "size": "5"}, msisdn_prefixes=["38"])
    data["routes"]["third"] = a_route(pool={"first": "717100"}, msisdn_prefixes=["39"])
    said = problems(tmp_path, data)
    assert said[0].startswith(
        "routes.other.pool: 717130 to 717131 are in the pool of route 'games' too"
    )
    assert said[1].startswith("routes.third.pool: 717100 is in the pool of route 'games' too")


def test_a_subscriber_has_one_route(tmp_path):
    data = good(tmp_path)
    data["routes"]["other"] = a_route()
    assert problems(tmp_path, data) == [
        "routes.other.msisdn_prefixes: route 'games' serves all numbers too"
    ]
    data["routes"]["other"]["msisdn_prefixes"] = "380"
    data["routes"]["third"] = a_route(msisdn_prefixes=["380"], pool={"first": "801"})
    assert problems(tmp_path, data) == [
        "routes.third.msisdn_prefixes: route 'other' serves numbers beginning with 380 too"
    ]


@pytest.mark.parametrize(
    ("bind", "trusted", "sentence"),
    [
        ("receiver", "true", "none of these links can send"),
        ("transmitter", "true", "none of these links receives answers that may confirm"),
        ("transceiver", "false", "none of these links receives answers that may confirm"),
    ],
)
def test_a_route_can_ask_and_hear(tmp_path, bind, trusted, sentence):
    data = with_change(good(tmp_path), "links.main.bind", bind)
    with_change(data, "links.main.mo_trusted", trusted)
    (said,) = problems(tmp_path, data)
    assert said.startswith(f"routes.games.links: {sentence}")


def test_codes_are_asked_for_by_policy(tmp_path):
    def policy(**changed: str) -> str:
        data = good(tmp_path)
        data["routes"]["games"].update(changed)
        return loaded(tmp_path, data).routes["games"].code_policy

    assert policy() == "never"
    assert policy(pool={"first": "7171"}) == "always"
    assert policy(pool={"first": "7171"}, code="never") == "never"
    assert policy(code="above", code_above={"UAH": "100.00"}) == "above"


def test_amounts_are_those_of_the_currency(tmp_path):
    data = with_change(good(tmp_path), "routes.games.code", "above")
    with_change(data, "routes.games.code_above", {"UAH": "0.001", "QQQ": "1"})
    said = problems(tmp_path, data)
    assert [line.partition(": ")[0] for line in said] == [
        "routes.games.code_above.QQQ",
        "routes.games.code_above.UAH",
    ] or [line.partition(": ")[0] for line in said] == [
        "routes.games.code_above.UAH",
        "routes.games.code_above.QQQ",
    ]


def test_a_days_limit_above_the_months_is_probably_not_meant(tmp_path):
    limits = {
        "subscriber_day_max": {"UAH": "100", "EUR": "1"},
        "subscriber_month_max": {"UAH": "99"},
    }
    settings = loaded(tmp_path, with_change(good(tmp_path), "limits", limits))
    [warning] = settings.warnings
    assert warning.path == "limits.subscriber_day_max.UAH"
    assert "is above the month's" in str(warning)


def test_without_time_zones_of_its_own_a_machine_leaves_them_to_the_database(tmp_path, monkeypatch):
    monkeypatch.setattr("ppcd.config.types.available_timezones", set)
    settings = loaded(tmp_path, with_change(good(tmp_path), "charges.time_zone", "Europe/Kyjiw"))
    assert settings.charges.time_zone == "Europe/Kyjiw"


def test_a_link_needs_a_password_of_the_right_size(tmp_path):
    data = with_change(good(tmp_path), "links.main.password_file", None)
    assert problems(tmp_path, data) == [
        "links.main: must have password_file or password_credential"
    ]
    data = good(tmp_path)
    (tmp_path / "secret").write_text("ninechars")
    assert problems(tmp_path, data) == [
        "links.main.password_file: holds more than the 8 characters that SMPP allows"
    ]


def test_what_is_probably_not_meant_is_a_warning(tmp_path):
    data = good(tmp_path)
    data["links"]["spare"] = {**data["links"]["main"]}
    data["billing"]["old"] = {**data["billing"]["b"]}
    data["billing"]["b"]["answer"] = {"not_found_statuses": ["404"]}
    data["operations"] = {"listen": "0.0.0.0:9464"}
    data["routes"]["games"].update(quarantine_s="60", pool={"first": "7171"}, code="never")
    settings = loaded(tmp_path, data)
    assert sorted(problem.path for problem in settings.warnings) == [
        "billing.b.answer.not_found_statuses",
        "billing.old",
        "links.spare",
        "operations.listen",
        "routes.games.code",
        "routes.games.quarantine_s",
    ]


@pytest.mark.parametrize("listen", ["localhost:0", "[::1]:9464", "127.0.0.1:9464"])
def test_loopback_is_no_warning(tmp_path, listen):
    data = with_change(good(tmp_path), "operations.listen", listen)
    assert loaded(tmp_path, data).warnings == ()


def test_a_link_becomes_what_smpp_wants(tmp_path):
    data = good(tmp_path)
    data["links"]["main"].update(
        window_max="5",
        not_now_status="ESME_RX_T_APPN",
        advice={"0x450": "give_up", "ESME_RSYSERR": "slow"},
        tls={"server_name": "smsc", "version_min": "1.3"},
        wire={"field_sizes": {"service_type": "31"}},
    )
    link = loaded(tmp_path, data).link_settings("main")
    assert (link.name, link.password, link.window_max) == ("main", "pa55word", 5)
    assert link.not_now_status is Status.ESME_RX_T_APPN
    assert link.advice == {0x450: Advice.GIVE_UP, Status.ESME_RSYSERR: Advice.SLOW}
    assert link.tls is not None
    assert link.tls.minimum_version == "1.3"
    assert link.quirks.wire.field_sizes == {"service_type": 31}


def test_words_are_added_to_the_built_in_ones(tmp_path):
    data = with_change(good(tmp_path), "words.yes", "авжеж")
    table = loaded(tmp_path, data).word_table()
    assert {"авжеж", "да"} <= table.yes


def test_the_order_of_sections_does_not_matter(tmp_path):
    data = good(tmp_path)
    assert loaded(tmp_path, dict(reversed(data.items()))) == loaded(tmp_path, data)


def test_changes_are_sorted_into_what_a_reload_can_do(tmp_path):
    old = loaded(tmp_path, good(tmp_path))
    assert changes(old, loaded(tmp_path, good(tmp_path))) == ([], [])
    data = good(tmp_path)
    data["charges"] = {"lifetime_s": "300"}
    data["words"] = {"yes": "авжеж"}
    data["routes"]["games"]["quarantine_s"] = "9999"
    data["links"]["main"]["window_max"] = "3"
    data["log"] = {"namespaces": {"ppcd.smpp": "debug"}}
    can_apply, needs_restart = changes(old, loaded(tmp_path, data))
    assert [path for path in can_apply if not path.startswith("log")] == [
        "charges.lifetime_s",
        "routes.games.quarantine_s",
        "words.yes",
    ]
    assert needs_restart == ["links.main.window_max"]


def test_a_new_password_in_the_same_file_needs_a_restart(tmp_path):
    old = loaded(tmp_path, good(tmp_path))
    (tmp_path / "secret").write_text("changed!")
    data = good(tmp_path)
    (tmp_path / "secret").write_text("changed!")
    assert changes(old, loaded(tmp_path, data)) == (
        [],
        ["database.password", "links.main.password"],
    )


def all_models(model: type = Settings, seen: set | None = None) -> set:
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            annotation = field.annotation
            inner = getattr(annotation, "__args__", ())
            for kind in (annotation, *inner):
                for found in models_of(kind):
                    all_models(found, seen)
    return seen


def test_every_section_refuses_unknown_keys_and_stays_as_it_is():
    models = all_models()
    assert len(models) > 10
    for model in models:
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen"), model
        assert model.model_config.get("allow_inf_nan") is False, model
