"""The commands `unseen guard ...`, and `unseen controls` where only the guard is installed.

Written with argparse, so that the small distribution needs no library for its command line.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from unseen.disk import check_writable, write_whole
from unseen.errors import FolderError, PolicyError, UnseenError
from unseen.guard import log_commands
from unseen.guard.checking import findings
from unseen.guard.explaining import explain
from unseen.guard.keys import Key, KeyRing, id_in
from unseen.guard.policy import PLAIN, Policy, Server, is_plain, read_policy
from unseen.guard.proposing import PROTOCOLS, proposal
from unseen.guard.readiness import missing
from unseen.guard.same_secret import own_secret
from unseen.guard.secrets import derive
from unseen.guard.unusable import unusable
from unseen.guard.words import number_of

LONGEST_DAYS = 36_500
HOUR_S, DAY_S = 3600.0, 86_400.0
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 a check failed, 2 wrong input, 3 failed."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        with suppress(BrokenPipeError):
            return int(arguments.command(arguments))
    except UnseenError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except OSError as error:
        if not isinstance(error.filename, str | Path):
            raise
        sys.stderr.write(f"Error: {(denied := unusable(Path(error.filename), error))}\n")
        return denied.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("unseen guard", description="A policy, enforced in front of a running model.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    init = _command(commands, "init", _init, "write a commented policy")
    init.add_argument("policy", type=Path, nargs="?", default=Path("policy.toml"))
    init.add_argument("--protocol", choices=sorted(PROTOCOLS), default="mlflow")
    init.add_argument("--upstream", metavar="URL", help="where the model's server is")
    init.add_argument("--secret-file", type=Path, metavar="FILE", help="keep the secret there; made where it is not")
    for name, command, what in (
        ("check", _check, "say what is useless or dangerous in a policy; exit code 1 where it is refused"),
        ("explain", _explain, "say in plain words what each client may get, and what is not stopped"),
        ("serve", _serve, "run it; SIGHUP reads the policy again"),
        ("status", _status, "show keys, budgets, noticed clients and the log"),
    ):
        _command(commands, name, command, what).add_argument("policy", type=Path)
    _keys(commands.add_parser("keys", help="add, list, rotate and revoke API keys"))
    _log(commands.add_parser("log", help="verify, show, export and shred the audit log"))
    calibrate = _command(commands, "calibrate", _calibrate, "choose detector thresholds from your own traffic")
    calibrate.add_argument("traffic", type=Path, help="JSON Lines: client, when (seconds), vector, parameters, profile")
    calibrate.add_argument("--seed", type=int, default=0, help="says which clients choose and which measure (0)")
    calibrate.add_argument("--rate", type=float, default=0.001, help="client-days that may be flagged (0.001)")
    release = _command(commands, "release", _release, "forget what was noticed of a client, and end all steps")
    release.add_argument("policy", type=Path)
    release.add_argument("client")
    return parser


def _command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: Command, what: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - argparse's own type
    parser = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.set_defaults(command=run)
    return parser


def _keys(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = _command(commands, "add", _add, "make a key, and show it once")
    add.add_argument("policy", type=Path)
    add.add_argument("--tenant", required=True)
    add.add_argument("--tier", default="default")
    add.add_argument("--route", action="append", default=[], help="a route that it opens; all, where none is named")
    add.add_argument("--days", type=float, help="after which it opens nothing")
    _command(commands, "list", _list, "list keys, without the keys themselves").add_argument("policy", type=Path)
    rotate = _command(commands, "rotate", _rotate, "make a key that takes another's place, budgets included")
    revoke = _command(commands, "revoke", _revoke, "close a key at once")
    for command in (rotate, revoke):
        command.add_argument("policy", type=Path)
        command.add_argument("id", help="as unseen guard keys list shows it")
    rotate.add_argument("--overlap-hours", type=float, default=24.0, help="how long the old key still opens (24)")
    for command in (add, rotate):
        command.add_argument("--out", type=Path, help="write the key to a file that only you can read")


def _log(parser: argparse.ArgumentParser) -> None:
    from unseen.guard.exports import FORMATS

    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = _command(
        commands, "verify", log_commands.verify, "say whether the log is as it was written; exit code 1 where not"
    )
    verify.add_argument("--public-key", action="append", default=[], metavar="HEX", help="a key that may sign")
    export = _command(commands, "export", log_commands.export, "print the log for other systems")
    export.add_argument("--format", choices=sorted(FORMATS), default="ocsf")
    show = _command(commands, "show", log_commands.show, "what one key or client asked and got, and in what pattern")
    show.add_argument("--key", required=True, help="the id of a key or of a client")
    shred = _command(
        commands, "shred", log_commands.shred, "delete a tenant's fingerprint key: its fingerprints then say nothing"
    )
    shred.add_argument("--tenant", required=True)
    for command in (verify, export, show, shred):
        command.add_argument("policy", type=Path)


def _init(arguments: argparse.Namespace) -> int:
    path: Path = arguments.policy
    secret: Path | None = arguments.secret_file
    if path.exists():
        raise FolderError(f"{path} is there already: name another file.")
    if arguments.upstream is not None and not is_plain(arguments.upstream):
        raise PolicyError(f"--upstream {PLAIN}")
    text = proposal(arguments.protocol, arguments.upstream)
    export = "  export UNSEEN_GUARD_SECRET=$(openssl rand -hex 32)   # keep it: the SAME value in every terminal\n"
    if secret is not None:
        if any(not character.isprintable() or character in '"\\' for character in str(secret)):
            raise PolicyError("--secret-file: the name has a character that a policy cannot say: take another.")
        if not secret.exists():
            write_whole(secret, f"{secrets.token_hex(32)}\n".encode())
        text = text.replace(f'"{Server().secret}"', f'"file:{secret}"', 1)
        export = ""
    write_whole(path, text.encode())
    kept = "" if secret is None else f"The secret is in {secret}: keep it, and keep it the same.\n"
    sys.stdout.write(
        f"{kept}{path} is written. Next:\n{export}"
        f"  unseen guard check {path}\n"
        f"  unseen guard keys add {path} --tenant TENANT\n"
        f"  unseen guard serve {path}\n"
    )
    return 0


def _check(arguments: argparse.Namespace) -> int:
    policy = read_policy(arguments.policy)
    found = findings(policy)
    found += missing(policy)
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    refused = sum(finding.refused for finding in found)
    sys.stdout.write(f"{refused} refused, {number_of(len(found) - refused, 'note')}.\n")
    return 1 if refused else 0


def _explain(arguments: argparse.Namespace) -> int:
    sys.stdout.write(explain(read_policy(arguments.policy)))
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from unseen.guard.serving import serve

    return serve(arguments.policy, _say)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _ring(policy: Policy) -> KeyRing:
    return KeyRing(Path(policy.guard.state), derive(own_secret(policy), "keys"))


def _add(arguments: argparse.Namespace) -> int:
    from unseen.guard.status import held_policy

    policy = read_policy(arguments.policy)
    if arguments.tier not in policy.tiers:
        raise PolicyError(f"the policy has no tier {arguments.tier!r}; it has {sorted(policy.tiers)}.")
    routes = {route.name or route.protocol for route in policy.routes}
    if unknown := [route for route in arguments.route if route not in routes]:
        raise PolicyError(f"the policy has no route {unknown[0]!r}; it has {sorted(routes)}.")
    if arguments.days is not None and not 0 < arguments.days <= LONGEST_DAYS:
        raise PolicyError(f"--days is above 0 and at most {LONGEST_DAYS:,}, got {arguments.days:g}.")
    expires = None if arguments.days is None else time.time() + arguments.days * DAY_S
    _free(arguments.out)
    state = Path(policy.guard.state)
    new, held = not state.exists(), held_policy(policy, state / "log")
    ring = _ring(policy)
    made = ring.add(tenant=arguments.tenant, tier=arguments.tier, scopes=arguments.route, expires=expires)
    if new:
        _say(f"a new state begins in {state.absolute()}")
    _hand_over(policy, ring, "key-added", made, arguments.out)
    if held != policy.digest:
        _say(f"tier {arguments.tier}: a guard that runs knows it once it has read the policy again (SIGHUP)")
    return 0


def _rotate(arguments: argparse.Namespace) -> int:
    policy = read_policy(arguments.policy)
    if not 0 <= arguments.overlap_hours <= 24 * LONGEST_DAYS:
        raise PolicyError(f"--overlap-hours is from 0 to {24 * LONGEST_DAYS:,}, got {arguments.overlap_hours:g}.")
    _free(arguments.out)
    ring = _ring(policy)
    _hand_over(policy, ring, "key-rotated", ring.successor(arguments.id), arguments.out)
    ring.retire(arguments.id, arguments.overlap_hours * HOUR_S)  # last: until the new key is out, the old one opens
    return 0


def _free(out: Path | None) -> None:
    """Refuse a file that is there, or cannot be written: before a key is made that nobody would hold."""
    if out is not None:
        if out.exists():
            raise FolderError(f"{out} is there already, and may be the only copy of another key: name another file.")
        check_writable(out.parent, 0)


def _write_down(policy: Policy, what: str, client: str, detail: str = "") -> None:
    """Leave a record of a change in a chain of the log that no worker writes."""
    from unseen.guard.gateway import changes

    with changes(policy) as write:
        write(what=what, client=client, detail=detail)


def _hand_over(policy: Policy, ring: KeyRing, what: str, made: tuple[Key, str], out: Path | None) -> None:
    """Write down that a key was made, and show it; one that can be neither written down nor shown is closed."""
    key, token = made
    try:
        _write_down(policy, what, key.client.id, key.id)
        _shown(key, token, out)
    except (OSError, UnseenError):
        with suppress(UnseenError):  # what is left then is a key that nobody holds
            ring.revoke(key.id)
        raise


def _shown(key: Key, token: str, out: Path | None) -> None:
    if out is not None:
        write_whole(out, token.encode() + b"\n")
        sys.stdout.write(f"key {key.id} of tenant {key.tenant} is in {out}; this is its only copy.\n")
    else:
        sys.stderr.write(f"key {key.id} of tenant {key.tenant}; the line below is its only copy.\n")
        sys.stdout.write(token + "\n")
    sys.stdout.flush()  # a disk that is full says so here, and not at the end


def _list(arguments: argparse.Namespace) -> int:
    now, folder = time.time(), Path(read_policy(arguments.policy).guard.state)
    keys = KeyRing(folder, b"").all()
    if not keys:
        _say(f"no keys in {folder.absolute()}")
    for key in keys:
        state = "revoked" if key.revoked else "open" if key.valid(now) else "expired"
        until = "" if key.expires is None or key.revoked else f" until {_time(key.expires)}"
        routes = ", ".join(key.scopes) or "all routes"
        took = f", takes the place of {key.replaces}" if key.replaces else ""
        sys.stdout.write(
            f"{key.id}  {state}{until}  {key.tenant}  tier {key.tier}, {routes}, made {_time(key.created)}{took}\n"
        )
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    policy = read_policy(arguments.policy)
    key = _ring(policy).revoke(arguments.id)
    _write_down(policy, "key-revoked", key.client.id, key.id)
    sys.stdout.write(f"key {key.id} of tenant {key.tenant} opens nothing any more.\n")
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from unseen.guard.calibration import calibrate_from

    sys.stdout.write(calibrate_from(arguments.traffic, arguments.rate, arguments.seed))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from unseen.guard.status import status

    sys.stdout.write(status(read_policy(arguments.policy)))
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from unseen.guard.gateway import changes
    from unseen.guard.watching import read_standings, released

    policy, client = read_policy(arguments.policy), id_in(arguments.client)
    own_secret(policy)  # with another one, that is what is said first
    state = Path(policy.guard.state)
    if client not in read_standings(state):
        raise PolicyError(f"nothing was noticed of the client {client!r}.")
    with changes(policy) as write:  # before it is forgotten: that it is must be written down
        released(state, client)
        write(what="released", client=client, detail="")
    sys.stdout.write(f"what was noticed of {client} is forgotten; running guards see it within a second.\n")
    return 0


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
