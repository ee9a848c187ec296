"""Passwords and tokens: whether what a request brings is right."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

_NOBODY = b"$2b$10$z/skCIPwiGJeWtBk85EFzOhrfchUUV24Je5GsQDQi4hnoQco6rUnS"
"""The hash of a random password: who asks for an unknown user waits as long as for a known one."""
_LONGEST = 72
"""Bytes of a password that bcrypt looks at."""
_REMEMBERED = 100
"""Right answers that are remembered."""


@dataclass(frozen=True)
class Credentials:
    """What lets a request in: a user's password (HTTP Basic), or a token (Bearer). At least one is given.

    Args:
        users: a user's name to the bcrypt hash of the password.
        token: the token itself.
    """

    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    token: bytes | None = field(default=None, repr=False)
    _key: bytes = field(default_factory=lambda: os.urandom(32), init=False, repr=False)
    _right: set[bytes] = field(default_factory=set, init=False, repr=False)
    _one: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def admit(self, authorization: str | None) -> bool:
        """Whether an `Authorization` header is right. A password seen for the first time takes bcrypt's time: 0.1 s."""
        scheme, _, given = (authorization or "").strip().partition(" ")
        given = given.strip()
        if scheme.lower() == "bearer" and self.token is not None:
            return hmac.compare_digest(given.encode("utf-8", "replace"), self.token)
        if scheme.lower() == "basic" and self.users:
            return self._password(given)
        return False

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` header that asks for them."""
        return 'Basic realm="ralph-otel", charset="UTF-8"' if self.users else 'Bearer realm="ralph-otel"'

    def _password(self, given: str) -> bool:
        try:
            user, separator, password = base64.b64decode(given, validate=True).partition(b":")
            hashed = self.users.get(user.decode("utf-8"))
        except (binascii.Error, ValueError):
            return False
        if not separator or len(password) > _LONGEST or b"\0" in password:
            return False
        seen = hmac.digest(self._key, given.encode(), hashlib.sha256)
        if seen in self._right:
            return True
        import bcrypt

        with self._one:  # guesses take one processor at most
            right = bcrypt.checkpw(password, hashed or _NOBODY) and hashed is not None
        if right and len(self._right) < _REMEMBERED:
            self._right.add(seen)
        return right
