"""Checking: what is useless or dangerous in a policy, with the reason; the first is refused, the second is said."""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address
from math import prod
from typing import Any
from urllib.parse import urlsplit

from unseen.control import Hardening
from unseen.controls import harden_from
from unseen.controls.allowed_parameters import ALLOWED
from unseen.controls.fields import REQUEST_FIELDS, SCORING
from unseen.errors import InputError, PolicyError, did_you_mean
from unseen.guard.detectors import from_settings
from unseen.guard.detectors.listed import learn_decoys
from unseen.guard.policy import AT_ONCE, UNSAID, Policy, Route, Tier, address_of
from unseen.guard.protocols import adapter_of

SIGNATURES = {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"}
ROWS = {"mlflow", "open-inference-v2", "kserve-v1", "json"}
V2 = "open-inference-v2"
ONLY_OF = {  # the protocols of a key
    "models": {"openai"},
    "fields": {"json"},
    "features": ROWS,
    "shape": ROWS,
    "shapes": {V2},
    "b64": {"kserve-v1"},
}
ASKED_AT = {  # what a route adds to the upstream's address, where it sets no path of its own
    "mlflow": "/invocations",
    V2: "/v2/models",
    "kserve-v1": "/v1/models",
    "openai": "/v1",
}
ENDS_IN_A_PROTOCOL = re.compile(r"/(invocations|v[12](/(models(/.+)?|chat/completions|completions|embeddings))?)$")
PARAMETERS = {  # of OpenAI's API and of servers that speak like it
    *ALLOWED,
    *SCORING,
    *("dimensions", "suffix", "functions", "function_call", "modalities", "audio", "prediction", "verbosity"),
    *("reasoning_effort", "service_tier", "metadata", "store", "safety_identifier", "prompt_cache_key"),
    *("top_k", "min_p", "typical_p", "repetition_penalty", "length_penalty", "min_tokens", "stop_token_ids"),
    *("ignore_eos", "skip_special_tokens", "add_special_tokens", "chat_template_kwargs", "guided_json"),
    *("guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "truncate_prompt_tokens"),
}
ANY_KEY = b"any key will do to see whether"  # controls are made once to be checked, and thrown away


@dataclass(frozen=True)
class Finding:
    """One sentence about one place of the policy; `refused` says that no guard starts with it."""

    refused: bool
    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{'refused' if self.refused else 'note'}: {self.place}: {self.sentence}"


def refuse(place: str, sentence: str) -> Finding:
    """Return a finding with which no guard starts."""
    return Finding(refused=True, place=place, sentence=sentence)


def note(place: str, sentence: str) -> Finding:
    """Return a finding that is said, and starts all the same."""
    return Finding(refused=False, place=place, sentence=sentence)


def findings(policy: Policy, *, lists: bool = True) -> list[Finding]:
    """Return everything there is to say against a policy, what is refused first; `lists` reads the files it names."""
    found = [*_tiers(policy), *_routes(policy), *_server(policy), *_exports(policy)]
    found += [*_detectors(policy, lists), *_oidc(policy)]
    return sorted(found, key=lambda finding: not finding.refused)


def refuse_useless(policy: Policy, *, lists: bool = True) -> None:
    """Raise `PolicyError` with the first thing that is refused."""
    for finding in findings(policy, lists=lists):
        if finding.refused:
            raise PolicyError(f"{finding.place}: {finding.sentence}")


def hardenings(controls: Sequence[Mapping[str, Any]], key: bytes) -> tuple[Hardening, ...]:
    """Return the controls that a tier declares. Raises `PolicyError`."""
    made: list[Hardening] = []
    try:
        for declared in controls:
            made.append(harden_from(declared, key=_after(made, key)))
    except InputError as error:
        raise PolicyError(str(error)) from None
    return tuple(made)


def _after(before: Sequence[Hardening], key: bytes) -> bytes:
    """Return the key of a control that comes after others, by what they are.

    Where they leave a known number (a cap, a label's 1), noise of the same draw would show itself, and a tier without
    them would be read without it.
    """
    chain = _chain(before)
    return blake2b(chain.encode(), key=key, digest_size=32).digest() if chain else key


def _chain(controls: Sequence[Hardening]) -> str:
    """Return what the controls of probabilities are, in order; of no control nothing."""
    said = [control.declared for control in controls if control.control.surface == "probabilities"]
    return json.dumps(said, sort_keys=True) if said else ""


def _tiers(policy: Policy) -> Iterator[Finding]:
    if not policy.tiers:
        yield refuse("tiers", "there is none, so no key could be used: write a [tiers.NAME] table.")
    for name, tier in policy.tiers.items():
        place = f"tiers.{name}"
        budget = tier.budget
        if budget.per_day is None and budget.lifetime is None:
            yield refuse(place, "it has no budget: set budget.per_day or budget.lifetime, in records.")
        if budget.per_day is not None and budget.lifetime is not None and budget.lifetime < budget.per_day:
            yield refuse(place, "budget.per_day is above budget.lifetime, and so says nothing.")
        yield from _controls(policy, name, tier)
    yield from _draws(policy)


def _draws(policy: Policy) -> Iterator[Finding]:
    """How many draws of one noise are to be had, one for each tier that differs up to it."""
    draws: dict[str, set[str]] = {}
    for tier in policy.tiers.values():
        try:
            made = hardenings(tier.controls, ANY_KEY)
        except PolicyError:  # said elsewhere
            continue
        for place, control in enumerate(made, 1):
            if control.control.keyed and control.control.reads == "probabilities":
                draws.setdefault(control.name, set()).add(_chain(made[:place]))
    for name, chains in draws.items():
        if (count := len(chains)) > 1:
            sentence = (
                f"{name} differs between them, in strength or in what comes before it: {count} draws of its noise. "
                f"Whoever has keys of all can average them, and the error falls by the root of {count}."
            )
            yield note("tiers", sentence)


def closed(route: Route) -> bool:
    """Whether one record can be written in one way only: its fields are named, or it is an array of one shape."""
    return bool(route.features or (route.shape and route.protocol != V2))


def _controls(policy: Policy, name: str, tier: Tier) -> Iterator[Finding]:
    place = f"tiers.{name}.controls"
    made = []
    for declared in tier.controls:
        try:
            made.append(harden_from(declared, key=ANY_KEY))
            if made[-1].control.surface == "text":
                made[-1].request({})
        except InputError as error:
            yield refuse(place, str(error))
            return
    surfaces = {control.control.surface for control in made}
    if "text" in surfaces and all(route.protocol != "openai" for route in policy.routes):
        yield refuse(place, "controls of text do nothing where no route has protocol openai.")
    yield from _idle(policy, made, place)
    for route in policy.routes:
        yield from _useless_on(route, made, place)
        yield from _open(route, tier, made, f"tiers.{name}")
        kinds = _kinds(route)
        for kind in sorted(kinds - {"labels", "text"} - surfaces):
            yield _bare(kind, route, surfaces - {"text"}, place)
    yield from _parameters(tier, made, f"tiers.{name}.parameters")


def _bare(kind: str, route: Route, other: Collection[str], place: str) -> Finding:
    """What to say of a kind of answer that no control is for; `other` kinds are those that controls are for."""
    embeddings = route.protocol == "openai"  # its texts apart
    what, how = ("embeddings", "exactly as") if embeddings else (kind, "as")
    word = f"{what} leave {how} the model gives them on route {route.name or route.protocol}"
    none = f"no control here is for {kind}"
    if other:
        return refuse(place, f"{word}: {none}, so those for {' and '.join(sorted(other))} do nothing there.")
    if embeddings:
        return note(place, f"{word}: {none}; add {{ name = 'value-rounding', step = ... }}.")
    return note(place, f"{word}; see unseen controls.")


def _parameters(tier: Tier, made: Sequence[Hardening], place: str) -> Iterator[Finding]:
    """What a tier lets in beside the harmless parameters, and to what end."""
    for name in tier.parameters:
        if name not in PARAMETERS:
            meant = did_you_mean(name, PARAMETERS) or "."
            yield note(place, f"{name!r} is a parameter that no protocol here knows{meant}")
    asked = [name for name in tier.parameters if name in REQUEST_FIELDS]
    if asked and any(control.name == "no-logprobs" for control in made):
        verb = "asks" if len(asked) == 1 else "ask"
        sentence = f"{' and '.join(asked)} {verb} for what the control no-logprobs takes out: take one of them away."
        yield note(place, sentence)
    if {"echo", "logprobs"} <= set(tier.parameters) or "prompt_logprobs" in tier.parameters:
        sentence = "echo beside logprobs, or prompt_logprobs, scores any text that is handed in: take one away."
        yield refuse(place, sentence)


def _idle(policy: Policy, made: Sequence[Hardening], place: str) -> Iterator[Finding]:
    """Controls that nothing is left for."""
    answered = {kind for route in policy.routes for kind in _kinds(route)}
    for surface in sorted({control.control.surface for control in made} - {"text"} - answered):
        names = [control.name for control in made if control.control.surface == surface]
        yield refuse(place, f"{' and '.join(names)} does nothing: no route answers with {surface}.")
    marks = [control.control.reads == "argmax" for control in made]
    if True in marks[:-1]:
        mark = made[marks.index(True)].name
        yield note(place, f"what comes after {mark} hides nothing more: it leaves the label alone.")


def _useless_on(route: Route, made: Sequence[Hardening], place: str) -> Iterator[Finding]:
    for hardening in made:
        if route.classes is not None and (why := hardening.unfit(route.classes)):
            yield refuse(place, f"{hardening.name} on route {route.name or route.protocol}: {why}.")


def _open(route: Route, tier: Tier, made: Sequence[Hardening], place: str) -> Iterator[Finding]:
    """What rests on telling one record from another rests on nothing where a client may write one in many ways."""
    if route.protocol == "openai":
        return
    what = [control.name for control in made if control.control.keyed] if _kinds(route) != {"labels"} else []
    what += ["budget.per_neighbourhood"] if tier.budget.per_neighbourhood is not None else []
    where = f"{' and '.join(what)} on route {route.name or route.protocol}"
    if what and route.b64:
        sentence = "every byte that a client changes would make one record another: take it away, or the route's b64"
        yield refuse(place, f"{where}: {sentence}.")
    elif what and not closed(route):
        sentence = "a field more, or one by another name, would make one record another: set the route's features"
        yield refuse(place, f"{where}: {sentence} (or, for arrays, shape).")
    elif what and route.protocol == V2 and not (route.shape or route.shapes or route.scales):
        yield note(place, f"{where}: an input may have any number of values: set the route's shape, such as [12].")


def _kinds(route: Route) -> set[str]:
    if route.protocol == "openai":
        return {"text", "values"} if route.embeddings else {"text"}
    return set(route.outputs.values()) or {route.answers}


def _routes(policy: Policy) -> Iterator[Finding]:
    for number, route in enumerate(policy.routes):
        place = f"routes {number + 1}"
        try:
            adapter_of(route)
        except PolicyError as error:
            yield refuse(place, str(error))
        else:
            if route.path and not route.path.startswith("/"):
                yield refuse(place, f"path begins with a slash, or nobody could ask for it: write '/{route.path}'.")
        near = any(tier.budget.per_neighbourhood for tier in policy.tiers.values())
        measured = ["budgets per neighbourhood"] if near else []
        measured += ["near-duplicates"] if "near-duplicates" in policy.detectors and route.features else []
        if measured and not route.scales and route.protocol != "openai":
            what = " and ".join(measured)
            yield note(place, f"{what} measure distance in the features' own units; set scales to weigh them.")
        yield from _records(route, place)
        if route.b64:
            sentence = "bytes are told apart by a digest: a changed byte is another record to detectors and to the log."
            yield note(place, sentence)
        if route.protocol in {"open-inference-v2", "kserve-v1"} and not route.path:
            path = f"/{route.protocol[-2:]}/models/credit"
            yield note(place, f"every model and version of the upstream may be asked: set path, such as '{path}'.")
    names = [route.name or route.protocol for route in policy.routes]
    if len(set(names)) < len(names):
        yield refuse("routes", "two have one name: give each a name of its own.")


def _records(route: Route, place: str) -> Iterator[Finding]:
    """What a route says of its records must hold together."""
    if any(scale <= 0 for scale in route.scales):
        yield refuse(place, "scales must be above 0.")
    for key, protocols in ONLY_OF.items():
        if getattr(route, key) and route.protocol not in protocols:
            yield refuse(place, f"{key} says nothing for protocol {route.protocol}.")
    if len(set(route.features)) < len(route.features):
        yield refuse(place, "features names one field twice.")
    if route.shapes and route.shape:
        yield refuse(place, "shape and shapes both say what an input is: shape for all alike, shapes for each.")
    if route.shapes and route.shapes.keys() != set(route.features):
        yield refuse(place, "shapes has one shape for each of the inputs that features names in order, and no others.")
    if route.protocol != V2 and route.shape and len(route.features) > 1:
        yield refuse(place, "features names one field at most where a record is an array of some shape.")
    count, said = _values(route)
    if route.scales and count and len(route.scales) != count:
        yield refuse(place, f"a record has {count} values by {said}, and {len(route.scales)} by scales.")


def _values(route: Route) -> tuple[int, str]:
    """Return how many values a record has, and what says so; 0 where nothing does."""
    if route.shapes:
        return sum(map(prod, route.shapes.values())), "shapes"
    if route.protocol == V2:
        return len(route.features) * prod(route.shape) if route.shape else 0, "features and shape"
    return prod(route.shape) if route.shape else len(route.features), "features or shape"


def _server(policy: Policy) -> Iterator[Finding]:
    server = policy.guard
    host, _ = address_of(server.listen)
    if not _loopback(host):
        sentence = "it is reached from other machines, and speaks no TLS: put a proxy that does in front of it."
        yield note("guard.listen", sentence)
    yield from _places(policy)
    if server.admin is not None:
        if not _loopback(address_of(server.admin)[0]):
            yield refuse("guard.admin", "the admin API listens on a loopback address only.")
        if server.admin_token is None:
            yield refuse("guard.admin_token", "the admin API needs one, named as 'env:NAME' or 'file:PATH'.")
    yield from _upstream(policy)
    if server.mode == "shadow":
        sentence = "shadow: what would be refused or reduced is written down, and nothing is refused or reduced."
        yield note("guard.mode", sentence)
    if not server.strict:
        yield note("guard.strict", "false: numbers that the policy does not speak of leave as they come.")


def _upstream(policy: Policy) -> Iterator[Finding]:
    url = urlsplit(policy.upstream.url)
    if (url.hostname, url.port) == address_of(policy.guard.listen):
        yield refuse("upstream.url", "it is the address that this guard listens on: it would ask itself.")
    own = [route.path or ASKED_AT.get(route.protocol, "") for route in policy.routes]
    path = url.path.rstrip("/")
    if path and (ENDS_IN_A_PROTOCOL.search(path) or any(one and path.endswith(one) for one in own)):
        asked = f"{policy.upstream.url.rstrip('/')}{own[0]}"
        sentence = f"it ends in a protocol's path; the guard adds the path of each route to it: it would ask {asked}."
        yield note("upstream.url", sentence)
    if url.scheme == "http" and not _loopback(url.hostname or ""):
        yield note("upstream.url", "records travel to the model's server in clear: use https.")


def secrets_of(policy: Policy) -> dict[str, str | None]:
    """Return where each secret is named, but for those of exports, which have findings of their own."""
    named = {"guard.secret": policy.guard.secret, "guard.admin_token": policy.guard.admin_token}
    return named | {"upstream.authorization": policy.upstream.authorization, "store.url": policy.store.url}


def secrets_of_exports(policy: Policy) -> dict[str, str | None]:
    """Return where the secret of each export is named."""
    return {f"log.exports {n}.authorization": one.authorization for n, one in enumerate(policy.log.exports, 1)}


def _shared_secrets(policy: Policy) -> Iterator[Finding]:
    """One secret for two purposes: whoever is shown it for the one has it for the other. Exports are one purpose."""
    seen: dict[str, str] = {}
    for place, where in (secrets_of(policy) | secrets_of_exports(policy)).items():
        if where is not None and where.startswith(("env:", "file:")):  # a secret itself is said by nobody
            other = seen.setdefault(_source(where), place)
            if other.partition(" ")[0] != place.partition(" ")[0]:
                sentence = f"{where} is {other} too: whoever is shown it for one has it for both; name one of its own."
                yield refuse(place, sentence)


def _source(where: str) -> str:
    """Return one name for all ways to write a file."""
    return f"file:{os.path.realpath(where[5:])}" if where.startswith("file:") else where


def _places(policy: Policy) -> Iterator[Finding]:
    """Where secrets and budgets are to be found."""
    server, store = policy.guard, policy.store
    yield from _shared_secrets(policy)
    for place, where in secrets_of(policy).items():
        if where is not None and not where.startswith(("env:", "file:")):
            yield refuse(place, "a secret is named as 'env:NAME' or 'file:PATH', and never stands in the policy.")
    if (store.kind == "sqlite") != (store.url is None):
        word = "takes no url: it is a file of the state" if store.kind == "sqlite" else "needs url = 'env:NAME'"
        yield refuse("store", f"{store.kind} {word}.")
    if server.admin is not None and server.admin == server.listen and address_of(server.listen)[1]:
        yield refuse("guard.admin", "it is the address that clients use: give it a port of its own.")
    for holder, budget in (("tenant", policy.budgets.tenant), ("total", policy.budgets.total)):
        if budget.per_neighbourhood is not None:
            yield refuse(
                f"budgets.{holder}.per_neighbourhood", "neighbourhoods are counted for each key: set it in a tier."
            )
        if budget == UNSAID and budget is not UNSAID:
            yield note(f"budgets.{holder}", "it sets no limit: set per_day or lifetime, in records, or leave it out.")
    total = policy.budgets.total.per_day
    for name, tier in policy.tiers.items():
        if total is not None and tier.budget.per_day is not None and total < tier.budget.per_day:
            sentence = (
                f"{total:,} records a day for everybody together are fewer than the {tier.budget.per_day:,} of one key "
                f"of tier {name}."
            )
            yield note("budgets.total", sentence)


def _detectors(policy: Policy, lists: bool) -> Iterator[Finding]:
    if not policy.detectors:
        yield note("detectors", "there is none: probing is not noticed; see unseen guard calibrate.")
    try:
        made = from_settings(policy.detectors)
        if lists:
            learn_decoys(made, policy, ANY_KEY)
    except InputError as error:
        yield refuse("detectors", str(error))
    if not policy.actions.ladder:
        yield refuse("actions.ladder", "it has no step: write ['log'] at least.")
    if "tighten" in policy.actions.ladder:
        for route in policy.routes:
            if "values" in _kinds(route):
                sentence = f"tighten means labels only, and route {route.name or route.protocol} answers with values."
                yield refuse("actions.ladder", sentence)
    low, high = policy.actions.delay_s
    if not 0 <= low <= high:
        yield refuse("actions.delay_s", "it is written [LEAST, MOST] in seconds, the least first.")
    elif high - low < 60 and set(policy.actions.ladder) - AT_ONCE:
        sentence = "actions that come at once tell a client which query was noticed: leave a minute or more of chance."
        yield refuse("actions.delay_s", sentence)


def _oidc(policy: Policy) -> Iterator[Finding]:
    if (oidc := policy.oidc) is None:
        return
    if wrong := [name for name in oidc.algorithms if name not in SIGNATURES]:
        yield refuse("oidc.algorithms", f"{wrong[0]!r} is not a signature that a public key checks.")
    if not oidc.algorithms:
        yield refuse("oidc.algorithms", "name at least one, such as ES256.")
    if not oidc.jwks.startswith(("https://", "file:")):
        yield refuse("oidc.jwks", "keys come from an https address or file:PATH.")


def _exports(policy: Policy) -> Iterator[Finding]:
    for number, export in enumerate(policy.log.exports):
        place = f"log.exports {number + 1}"
        url = urlsplit(export.address or "")
        if export.address and url.scheme not in {"tls", "https"} and not _loopback(url.hostname or ""):
            yield note(place, "entries of the log travel in clear: use tls:// or https://.")
        if url.scheme == "udp":
            yield note(place, "udp: a message that is lost on its way is not noticed, and not counted.")
        if export.authorization is not None and not export.authorization.startswith(("env:", "file:")):
            yield refuse(f"{place}.authorization", "it is named as 'env:NAME' or 'file:PATH'.")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
