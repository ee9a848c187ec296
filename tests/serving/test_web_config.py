from __future__ import annotations

import ssl
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ralph_otel.serving import WebConfigError, read_web_config
from support.certificates import make_certificate

HASH = "$2y$10$z/skCIPwiGJeWtBk85EFzOhrfchUUV24Je5GsQDQi4hnoQco6rUnS"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a certificate."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    (folder / "token").write_text("0123456789abcdef\n")
    (folder / "short").write_text("0123\n")
    (folder / "other.key").write_text("no key")
    return folder


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "web.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_certificate_and_passwords_in_exporter_toolkits_format(certificate: Path) -> None:
    web = read_web_config(written(certificate, f"{TLS}basic_auth_users:\n  alice: {HASH}\n"))
    assert web.guarded
    assert web.tls is not None
    assert web.tls.cert_file == certificate / "server.crt"
    assert web.tls.context().minimum_version == ssl.TLSVersion.TLSv1_2
    assert web.credentials is not None
    assert web.credentials.users == {"alice": HASH.encode()}


def test_a_token_or_clients_certificates_guard_as_well(certificate: Path) -> None:
    assert read_web_config(written(certificate, "bearer_token_file: token")).guarded
    text = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.crt}")
    web = read_web_config(written(certificate, text))
    assert web.guarded
    assert web.tls is not None
    assert web.tls.context().verify_mode == ssl.CERT_REQUIRED
    assert not read_web_config(written(certificate, TLS)).guarded


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file must have `name: value` in each line"),
        ("- 1", "the file must have"),
        ("a: [", "no YAML in line 1; mend it"),
        ("\x00", "no YAML"),
        (b"\xff\xfe\xff", "no YAML"),
        ("rate_limit: {}", "unknown field 'rate_limit'; known ones: tls_server_config, ba"),
        ("basic_auth_users: {alice: secret}", "the password of 'alice' must be a bcrypt hash"),
        ("basic_auth_users: {alice: 7}", "the password of 'alice' must be a bcrypt hash"),
        (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$31$')}}}", "of a cost up to 15"),
        ("basic_auth_users: secret", "basic_auth_users must have"),
        ("bearer_token_file: short", "bearer_token_file must hold a word of 16 to 4096 ASCII characters"),
        ("bearer_token_file: missing", "missing': No such file or directory"),
        ("bearer_token_file: [1]", "bearer_token_file must be a file's path"),
        ("tls_server_config: {cert_file: server.crt}", "key_file must be a file's path"),
        ("tls_server_config: {cert_file: gone.crt, key_file: server.key}", "gone.crt': No such file or directory"),
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}", "cert_file and key_file must be PEM"),
        (TLS.replace("}", ", min_version: TLS10}"), "min_version 'TLS10' will not do; it must be one of TLS12, TL"),
        (TLS.replace("}", ", min_version: [1]}"), "min_version list of 1 will not do"),
        (TLS.replace("}", ", client_auth_type: RequestClientCert}"), "it must be one of NoClientCert, Req"),
        (TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert}"), "client_ca_file must be a file's path"),
        (TLS.replace("}", ", ciphers: x}"), "unknown field 'ciphers'"),
        ("[" * 100_000, "no YAML"),
        ("#" * 1_000_001, "the file must have"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_the_remedy(text: str | bytes, said: str, certificate: Path) -> None:
    with pytest.raises(WebConfigError) as error:
        read_web_config(written(certificate, text))
    assert said in str(error.value)
    assert str(error.value).isprintable()
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("package", ["yaml", "bcrypt"])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    package: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(certificate, f"{TLS}basic_auth_users:\n  alice: {HASH}\n")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WebConfigError, match=r"pip install 'ralph-otel\[serve\]'"):
        read_web_config(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(max_size=200), st.text(alphabet="{}[]&*!|>'\"%@`:,-? \nabc_tls", max_size=80)))
def test_any_file_is_read_or_refused(text: str | bytes, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with suppress(WebConfigError):
        read_web_config(path)
