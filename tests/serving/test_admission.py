from __future__ import annotations

import base64
import socket
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.config import MetricsConfig
from ralph_otel.serving import Admission, Credentials, WebConfigError, admit
from ralph_otel.serving.admission import is_loopback

PASSWORD = "pass wörd"
HASHED = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4))
TOKEN = b"0123456789abcdef"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def refused(admission: Admission, method: str = "GET", **headers: str) -> int | None:
    """The status that such a request is refused with; None if it is answered."""
    given_headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    refusal = admission.refusal(method, lambda name: given_headers.get(name.lower()))
    return refusal.status if refusal else None


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "::ffff:127.0.0.1", "127.1"])
def test_an_address_of_this_machine_alone_needs_nothing(host: str, heard: list[str]) -> None:
    assert is_loopback(host)
    assert admit(MetricsConfig(), host, "endpoint").host == host
    assert heard == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0", "192.0.2.1", "::ffff:192.0.2.1", "no.such.host.invalid", "*"])
def test_an_address_that_others_reach_is_not_served_for_nothing(host: str, heard: list[str]) -> None:
    assert not is_loopback(host)
    assert admit(MetricsConfig(), host, "prometheus endpoint").host == "127.0.0.1"
    assert heard == [
        f"ralph-otel: prometheus endpoint: others could reach '{host}' without TLS and a password or token; it listens "
        "on 127.0.0.1 instead. Give RALPH_OTEL_WEB_CONFIG a file with that, or set RALPH_OTEL_WEB_INSECURE=true"
    ]


def test_who_says_that_it_shall_be_open_has_it_open(heard: list[str]) -> None:
    assert admit(MetricsConfig(web_insecure=True), "0.0.0.0", "endpoint").host == "0.0.0.0"
    assert heard == []


def test_a_file_that_cannot_be_used_opens_nothing_not_even_to_this_machine(tmp_path: Path) -> None:
    with pytest.raises(WebConfigError):
        admit(MetricsConfig(web_config=tmp_path / "missing.yml"), "127.0.0.1", "endpoint")


# -- names and origins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9464", "localhost", "LOCALHOST:1", "app.localhost", "[::1]:9464", "10.1.2.3:80", "loops.example.com",
     "loops.example.com.:9464", socket.gethostname()],
)  # fmt: skip
def test_addresses_and_own_names_are_answered(host: str) -> None:
    admission = admit(MetricsConfig(web_hosts="loops.example.com"), "127.0.0.1", "endpoint")
    assert refused(admission, Host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:9464", "127.0.0.1.evil.example", "xlocalhost", "a b",
     "localhost@evil.example", "[evil.example]", "localhost:99999999", "127.0.0.1\r\nX: y", "[::1", "ünïcode"],
)  # fmt: skip
def test_a_name_that_is_not_ours_is_refused_as_a_page_may_have_bound_it_to_our_address(host: str) -> None:
    assert refused(admit(MetricsConfig(), "127.0.0.1", "endpoint"), Host=host) == 421


def test_who_must_bring_a_password_may_ask_by_any_name() -> None:
    admission = Admission(credentials=Credentials(token=TOKEN))
    assert refused(admission, Host="behind.a.proxy.example") == 401
    assert refused(admission, Host="behind.a.proxy.example", Authorization="Bearer 0123456789abcdef") is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, None),
        ({"Origin": "http://127.0.0.1:9464"}, None),
        ({"Origin": "https://127.0.0.1:9464"}, None),
        ({"Origin": "http://127.0.0.1:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, None),
        ({"Sec_Fetch_Site": "none"}, None),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, None),
    ],
)
def test_pages_from_elsewhere_may_link_to_us_but_not_ask(headers: dict[str, str], status: int | None) -> None:
    assert refused(Admission(), Host="127.0.0.1:9464", **headers) == status


def test_a_form_from_elsewhere_is_refused_even_if_it_navigates() -> None:
    headers = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert refused(Admission(), "POST", Host="127.0.0.1", **headers) == 403


@given(st.dictionaries(st.sampled_from(["Host", "Origin", "Authorization", "Sec-Fetch-Site"]), st.text()))
def test_any_headers_are_answered_or_refused(headers: dict[str, str]) -> None:
    admission = Admission(credentials=Credentials(token=TOKEN))
    assert admission.refusal("GET", headers.get) is not None
    Admission().refusal("GET", headers.get)


# -- passwords and tokens ----------------------------------------------------------------------------------------------


def test_the_right_password_lets_in_and_nothing_else() -> None:
    credentials = Credentials({"alice": HASHED})
    for _ in range(2):
        assert credentials.admit(basic("alice", PASSWORD))
        for wrong in (
            None, "", "Basic", "Basic !!", basic("alice", "no"), basic("bob", PASSWORD), basic("", ""), "Basic YQ==",
            f"Bearer {PASSWORD}", basic("alice", PASSWORD) + "x", basic("alice", "x" * 73), basic("alice", "a\0b"),
            "Basic " + base64.b64encode(b"\xff:x").decode(),
        ):  # fmt: skip
            assert not credentials.admit(wrong), wrong
    assert credentials.challenge.startswith("Basic ")


def test_the_right_token_lets_in_and_nothing_else() -> None:
    credentials = Credentials(token=TOKEN)
    assert credentials.admit("Bearer 0123456789abcdef")
    assert credentials.admit("bearer  0123456789abcdef ")
    for wrong in (None, "", "Bearer", "Bearer 0123456789abcdeF", "Bearer \udc80", basic("", TOKEN.decode())):
        assert not credentials.admit(wrong)
    assert credentials.challenge.startswith("Bearer ")


def test_htpasswds_hashes_are_understood() -> None:
    as_htpasswd_writes_it = b"$2y$" + HASHED[4:]
    assert Credentials({"alice": as_htpasswd_writes_it}).admit(basic("alice", PASSWORD))


def test_a_password_that_was_right_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        worked_out.append(password)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    credentials = Credentials({"alice": HASHED})
    assert [credentials.admit(basic("alice", PASSWORD)) for _ in range(3)] == [True] * 3
    assert len(worked_out) == 1
    assert [credentials.admit(basic("nobody", "x")) for _ in range(2)] == [False] * 2
    assert len(worked_out) == 3


def test_neither_shows_what_it_knows() -> None:
    admission = Admission(credentials=Credentials({"alice": HASHED}, TOKEN))
    assert HASHED.decode() not in repr(admission)
    assert TOKEN.decode() not in repr(admission)
