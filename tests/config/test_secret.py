"""Secrets are read from private files, and never shown."""

import os
import pickle

import pytest

from ppcd.config.secret import Secret, SecretError, credential_path, read_secret
from tests.config.files import a_secret, good, loaded, problems, with_change


def test_a_secret_never_shows():
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>10} {[secret]} {secret}"
    assert "hunter2" not in shown
    assert "***" in shown
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(secret)


def test_secrets_compare_by_content():
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize("raw", [b"word", b"word\n", b"word\r\n"])
def test_the_last_line_end_is_no_part_of_it(tmp_path, raw):
    path = tmp_path / "s"
    path.write_bytes(raw)
    path.chmod(0o400)
    assert read_secret(path).reveal() == "word"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path, mode):
    with pytest.raises(SecretError, match=rf"can be used by others \(mode {mode:04o}\)"):
        read_secret(a_secret(tmp_path, mode=mode))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "must hold one line"),
        (b"a\0b", "must hold one line"),
        (b"\xff", "is not UTF-8 text"),
        (b"x" * 70_000, "is larger than 65536 bytes"),
    ],
)
def test_what_is_no_one_line_secret_is_refused(tmp_path, raw, reason):
    path = tmp_path / "s"
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(SecretError, match=reason):
        read_secret(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p", 0o600)
    with pytest.raises(SecretError, match="not a plain file"):
        read_secret(tmp_path / "p")


def test_a_directory_is_no_secret(tmp_path):
    with pytest.raises(SecretError, match="not a plain file"):
        read_secret(tmp_path)


def test_a_missing_file_is_a_problem_at_its_key(tmp_path):
    data = with_change(good(tmp_path), "links.main.password_file", str(tmp_path / "no"))
    assert problems(tmp_path, data) == [
        f"links.main.password_file: {tmp_path}/no cannot be read: No such file or directory"
    ]


def test_a_files_path_does_not_depend_on_where_a_command_is_called(tmp_path):
    data = with_change(good(tmp_path), "links.main.password_file", "smpp-password")
    assert problems(tmp_path, data) == [
        "links.main.password_file: smpp-password must be an absolute path, beginning with /"
    ]


def test_secrets_are_asked_for_by_path(tmp_path):
    settings = loaded(tmp_path, good(tmp_path))
    assert settings.secret("links.main.password") == Secret("pa55word")
    assert settings.secret("links.main.nothing") is None
    assert "pa55word" not in repr(settings)


def test_a_credential_is_found_where_systemd_puts_it(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    # systemd grants its user by an access list, whose mask shows as the group's permission.
    a_secret(credentials, "smpp", "fromsysd", mode=0o440)
    data = with_change(good(tmp_path), "links.main.password_file", None)
    with_change(data, "links.main.password_credential", "smpp")
    settings = loaded(tmp_path, data, credentials_directory=str(credentials))
    assert settings.secret("links.main.password") == Secret("fromsysd")


def test_a_credential_outside_of_systemd_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    data = with_change(good(tmp_path), "links.main.password_file", None)
    with_change(data, "links.main.password_credential", "smpp")
    (said,) = problems(tmp_path, data)
    assert "LoadCredential=" in said


def test_a_credential_is_a_name_and_no_path():
    with pytest.raises(SecretError, match="not a path"):
        credential_path("../etc/shadow", "/run")


def test_file_and_credential_exclude_each_other(tmp_path):
    data = with_change(good(tmp_path), "links.main.password_credential", "smpp")
    assert problems(tmp_path, data, credentials_directory=str(tmp_path)) == [
        "links.main.password_credential: password_file is given too: keep one of them"
    ]


def test_a_private_key_must_be_private_and_a_certificate_need_not(tmp_path):
    certificate = a_secret(tmp_path, "cert.pem", mode=0o644)
    key = a_secret(tmp_path, "key.pem", mode=0o644)
    data = with_change(
        good(tmp_path),
        "links.main.tls",
        {"certificate_file": str(certificate), "key_file": str(key)},
    )
    (said,) = problems(tmp_path, data)
    assert said.startswith("links.main.tls.key_file:")
    key.chmod(0o600)
    assert problems(tmp_path, data) == []
