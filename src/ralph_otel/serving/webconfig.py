"""The file that opens a server to others: certificate, passwords, token.

The format is that of Prometheus' exporter-toolkit (its docs/web-configuration.md), of which these are read:

    tls_server_config:
      cert_file: server.crt
      key_file: server.key
      client_auth_type: RequireAndVerifyClientCert   # with client_ca_file; default NoClientCert
      client_ca_file: ca.crt
      min_version: TLS12                             # default; or TLS13
    basic_auth_users:
      alice: $2y$10$…                                # bcrypt, as `htpasswd -nBC 10 alice` writes it
    bearer_token_file: token                         # our own: a secret of 16 characters or more

Paths count from the file's folder. It is read once, when a server starts.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ralph_otel.notices import shown
from ralph_otel.serving.credentials import Credentials

_BIGGEST = 1_000_000
"""Bytes that a file of this kind may have."""
_PATH = 200
"""Characters of a path that are shown."""
_HASH = re.compile(r"\$2[abxy]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}")
"""A bcrypt hash; one of a cost beyond 15 takes seconds for every guess."""
_TOKEN = re.compile(rb"[!-~]{16,4096}")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {"NoClientCert": False, "RequireAndVerifyClientCert": True}


class WebConfigError(Exception):
    """The file cannot be used; the text names it, what is wrong and what would do, without any secret in it."""


@dataclass(frozen=True)
class Tls:
    """What a server needs for TLS.

    Args:
        cert_file: its certificate, and those between it and the authority's, PEM.
        key_file: its private key, PEM, without a passphrase.
        client_ca_file: whose certificates clients must bring; None: they need none.
        min_version: the oldest version of the protocol.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    def context(self) -> ssl.SSLContext:
        """A context for a server.

        Raises:
            OSError: a file cannot be read, or is not what it should be (`ssl.SSLError` is one).
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self.min_version
        context.load_cert_chain(self.cert_file, self.key_file, password=lambda: b"")  # else it would ask the terminal
        if self.client_ca_file is not None:
            context.load_verify_locations(self.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class WebConfig:
    """What such a file says; without one, nothing."""

    tls: Tls | None = None
    credentials: Credentials | None = None

    @property
    def guarded(self) -> bool:
        """Whether only those get in who are known."""
        return self.credentials is not None or (self.tls is not None and self.tls.client_ca_file is not None)


def read_web_config(path: Path) -> WebConfig:
    """Read such a file, and try what it names.

    Raises:
        WebConfigError: it is not there, is wrong, or names a file that is.
    """
    try:
        return _Reader(path).read()
    except OSError as error:
        file = error.filename if isinstance(error.filename, str) else path
        raise WebConfigError(f"{shown(str(file), _PATH)}: {error.strerror or type(error).__name__}") from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> WebConfig:
        known = ("tls_server_config", "basic_auth_users", "bearer_token_file")
        said = self._table(self._load(), "the file", known)
        users = self._users(said.get("basic_auth_users") or {})
        token = self._token(said["bearer_token_file"]) if said.get("bearer_token_file") else None
        credentials = Credentials(users, token) if users or token else None
        return WebConfig(self._tls(said["tls_server_config"]) if said.get("tls_server_config") else None, credentials)

    def _wrong(self, text: str) -> WebConfigError:
        return WebConfigError(f"{shown(str(self._path), _PATH)}: {text}")

    def _load(self) -> Any:
        with self._path.open("rb") as file:
            text = file.read(_BIGGEST + 1)
        try:
            import yaml
        except ImportError as error:
            raise self._wrong("it cannot be read without PyYAML; pip install 'ralph-otel[serve]'") from error
        try:
            return yaml.safe_load(text) if len(text) <= _BIGGEST else None
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # its text may quote a line, and so a secret
            mark = getattr(error, "problem_mark", None)
            where = f" in line {mark.line + 1}" if mark is not None else ""
            raise self._wrong(f"no YAML{where}; mend it") from error

    def _table(self, value: Any, what: str, known: tuple[str, ...] | None = None) -> Mapping[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self._wrong(f"{what} must have `name: value` in each line")
        for name in value if known is not None else ():
            if name not in (known or ()):
                raise self._wrong(f"unknown field {shown(name)}; known ones: {', '.join(known or ())}")
        return value

    def _users(self, value: Any) -> dict[str, bytes]:
        users = {}
        for name, hashed in self._table(value, "basic_auth_users").items():
            if not isinstance(hashed, str) or _HASH.fullmatch(hashed) is None:
                raise self._wrong(
                    f"the password of {shown(name)} must be a bcrypt hash, of a cost up to 15: htpasswd -nBC 10 NAME"
                )
            users[name] = hashed.encode()
        if users:
            try:
                import bcrypt  # noqa: F401
            except ImportError as error:
                raise self._wrong(
                    "passwords cannot be checked without bcrypt; pip install 'ralph-otel[serve]'"
                ) from error
        return users

    def _token(self, value: Any) -> bytes:
        with self._file(value, "bearer_token_file").open("rb") as file:
            token = file.read(5000).strip()
        if _TOKEN.fullmatch(token) is None:
            raise self._wrong("bearer_token_file must hold a word of 16 to 4096 ASCII characters; openssl rand -hex 32")
        return token

    def _tls(self, value: Any) -> Tls:
        known = ("cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version")
        said = self._table(value, "tls_server_config", known)
        asks = self._one_of(said, "client_auth_type", _CLIENTS, "NoClientCert")
        tls = Tls(
            self._file(said.get("cert_file"), "cert_file"),
            self._file(said.get("key_file"), "key_file"),
            self._file(said.get("client_ca_file"), "client_ca_file") if asks else None,
            self._one_of(said, "min_version", _VERSIONS, "TLS12"),
        )
        for file in filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file)):
            file.open("rb").close()  # ssl does not say which of them is missing
        try:
            tls.context()
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "no certificate and key that belong together"
            raise self._wrong(
                f"tls_server_config: {shown(str(reason))[1:-1]}; cert_file and key_file must be PEM"
            ) from error
        return tls

    def _one_of(self, said: Mapping[str, Any], name: str, choices: Mapping[str, Any], default: str) -> Any:
        value = said.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self._wrong(f"{name} {shown(value)} will not do; it must be one of {', '.join(choices)}")
        return choices[value]

    def _file(self, value: Any, name: str) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._wrong(f"{name} must be a file's path")
        return self._path.parent / value
