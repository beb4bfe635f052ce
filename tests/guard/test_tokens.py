"""Tokens of an identity provider: theirs, for us, in time, signed as the policy says; anything else is no token."""

import asyncio
import base64
import hmac
import json
import time

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from unseen.guard.policy import Actions, Oidc
from unseen.guard.refusal import Refused
from unseen.guard.tokens import OidcTokens
from unseen.guard.watching import Watch

KEY = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
OTHER = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
NOW = time.time()
CLAIMS = {"iss": "https://id.example", "aud": "guard", "sub": "ada", "unseen_tier": "basic", "unseen_tenant": "acme"}


def tokens(folder, **changes):
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    return OidcTokens(Oidc(issuer="https://id.example", audience="guard", jwks=f"file:{path}", **changes))


def token(key=KEY, algorithm="ES256", header=None, **changes):
    claims = {**CLAIMS, "exp": int(NOW + 600), "nbf": int(NOW - 10)} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": "one"} | (header or {}), claims, key, algorithms=[algorithm])


def client(known, shown, now=NOW):
    return asyncio.run(known.client_of(shown, now))


def test_a_good_token_is_a_client(tmp_path):
    found = client(tokens(tmp_path), token())
    assert (found.tenant, found.tier) == ("acme", "basic")
    assert found.id.startswith("oidc-")
    assert found.id != client(tokens(tmp_path), token(sub="grace")).id
    assert "ada" not in repr(found)


def part(content):
    said = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(said).rstrip(b"=")


def unsigned(algorithm="none", key=None):
    """A token without a signature, or with one by the public key as if it were a shared secret."""
    said = part({"alg": algorithm, "kid": "one"}) + b"." + part({**CLAIMS, "exp": NOW + 600})
    sign = part(hmac.digest(key, said, "sha256")) if key else b""
    return (said + b"." + sign).decode()


@pytest.mark.parametrize(
    "shown",
    [
        token(key=OTHER),
        token(iss="https://evil.example"),
        token(iss=None),
        token(aud="another"),
        token(aud=None),
        token(exp=int(NOW - 100)),
        token(exp=None),
        token(exp=10**400),
        token(iat=-(10**400)),
        token(nbf=int(NOW + 300)),
        token(sub=None),
        token(unseen_tier=None),
        token(unseen_tier=5),
        token(header={"kid": "two"}),
        unsigned("HS256", KEY.as_pem(private=False)),
        token(key=RSAKey.generate_key(2048, private=True), algorithm="RS256"),
        token(header={"jku": "https://evil.example/keys"}, key=OTHER),
        token(header={"jwk": OTHER.as_dict(private=False)}, key=OTHER),
        unsigned(),
        "a.b.c",
        "..",
        "é.é.é",
        "a" * 9000 + ".b.c",
        token()[:-3],
    ],
)
def test_anything_else_is_no_client(tmp_path, shown):
    assert client(tokens(tmp_path), shown) is None


def test_a_token_that_was_good_ends_when_it_says(tmp_path):
    known = tokens(tmp_path)
    shown = token(exp=int(NOW + 600))
    assert client(known, shown, NOW) is not None
    assert client(known, shown, NOW + 500) is not None
    assert known._known
    assert client(known, shown, NOW + 631) is None
    assert not known._known


def test_an_algorithm_that_the_policy_does_not_name_is_refused(tmp_path):
    assert client(tokens(tmp_path, algorithms=("RS256",)), token()) is None


def test_keys_that_cannot_be_read_open_nothing_and_are_tried_again_later(tmp_path):
    known = tokens(tmp_path)
    (tmp_path / "jwks.json").write_text("{")
    assert client(known, token()) is None
    first = known._next
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    assert client(known, token()) is None  # not yet: it waits between attempts
    assert known._next == first
    known._next = 0.0
    assert client(known, token()) is not None
    (tmp_path / "jwks.json").unlink()
    known._next = 0.0
    known._known.clear()
    assert client(known, token(sub="grace")) is not None  # what was known stays known


@pytest.mark.parametrize("name", ["sub", "unseen_tier", "unseen_tenant"])
def test_a_claim_that_is_no_text_is_no_client_of_that_name(tmp_path, name):
    claims = json.dumps({**CLAIMS, "exp": int(NOW + 600)} | {name: "a\ud800"}).encode()
    shown = jws.serialize_compact({"alg": "ES256", "kid": "one"}, claims, KEY, algorithms=["ES256"])
    found = client(tokens(tmp_path), shown)
    assert found is None or found.tenant == "oidc"


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"iat": NOW - 3600}, 401),
        ({"iat": NOW - 1}, None),
        ({"iat": NOW - 1, "auth_time": NOW - 3600}, 401),  # fetched anew, and nobody signed in for it
        ({"iat": NOW - 1, "auth_time": NOW - 2}, None),
        ({"iat": NOW - 1, "auth_time": "now"}, 401),
        ({}, 401),
    ],
)
def test_who_must_show_a_new_token_signs_in_after_the_step(tmp_path, claims, status):
    found = client(tokens(tmp_path), token(**claims))
    step = {"reauthenticate": NOW - 60}
    (tmp_path / "actions.json").write_text(json.dumps({found.id: {"sightings": 1, "seen": 0.0, "steps": step}}))
    assert refusal(tmp_path, found) == status


def refusal(folder, found):
    """The status with which a client is refused for its standing, or None."""
    try:
        Watch([], Actions(), None, folder).standing(found, NOW)
    except Refused as refused:
        return refused.status
    return None


def test_keys_come_over_the_network_in_pieces(tmp_path, monkeypatch):
    whole = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(whole) + whole[:50])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(whole[50:])
        writer.close()

    async def run():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        known = OidcTokens(Oidc(issuer="https://id.example", audience="guard", jwks="https://id.example/keys"))
        monkeypatch.setattr("unseen.guard.tokens.SCHEME", "http://")
        known._settings = Oidc(issuer="https://id.example", audience="guard", jwks=where)
        found = await known.client_of(token(), NOW)
        server.close()
        return found

    assert asyncio.run(run()) is not None


def test_a_tenant_that_is_no_plain_name_is_nobody_s(tmp_path):
    assert client(tokens(tmp_path), token(unseen_tenant="a:b")).tenant == "oidc"
    assert client(tokens(tmp_path), token(unseen_tenant=["x"])).tenant == "oidc"
