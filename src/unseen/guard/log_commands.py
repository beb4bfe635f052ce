"""The commands `unseen guard log ...`: the log verified, shown, printed for other systems, and shredded."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unseen.errors import FolderError, PolicyError
from unseen.guard.keys import id_in
from unseen.guard.policy import read_policy
from unseen.guard.secrets import read_secret, strong
from unseen.guard.words import number_of

OPEN_END = "; no orderly end (normal while a guard runs): what was cut off of its last seconds would not be seen"


def verify(arguments: argparse.Namespace) -> int:
    """Say of every chain whether it is as it was written; exit code 1 where one is not."""
    from unseen.guard.log.chain import public_of, signing_key
    from unseen.guard.log.verifying import OTHER_KEY
    from unseen.guard.log.verifying import verify as verified

    policy = read_policy(arguments.policy)
    try:
        keys = [bytes.fromhex(key) for key in arguments.public_key]
    except ValueError:
        raise PolicyError("a public key is written as 64 hexadecimal digits.") from None
    said = "the keys given"
    if not keys:
        try:
            keys = [public_of(signing_key(strong(read_secret(policy.guard.secret, "guard.secret"), "guard.secret")))]
            said = "this guard's key"
        except PolicyError:
            said = "the key that each chain names itself, which is no proof of who wrote it"
    folder = Path(policy.guard.state) / "log"
    verdicts = verified(folder, keys)
    if not verdicts:
        raise FolderError(f"there is no log in {folder.absolute()}.")
    for one in verdicts:
        state = f"BROKEN at {one.bad}" if one.bad else "as it was written"
        if one.bad.endswith(OTHER_KEY):
            state = _by_another(folder / one.chain, keys)
        torn = f"; {number_of(one.torn_bytes, 'torn byte')} of killed writers" if one.torn_bytes else ""
        sys.stdout.write(
            f"{one.chain}: {state}; {number_of(one.records, 'record')}, "
            f"{number_of(one.signed, 'signature')} by {said}, "
            f"{number_of(one.unsigned, 'record')} after the last{torn}{'' if one.ended else OPEN_END}\n"
        )
    return 1 if any(one.bad for one in verdicts) else 0


def export(arguments: argparse.Namespace) -> int:
    """Print the log for other systems."""
    from unseen.guard.exports import FORMATS
    from unseen.guard.log.reading import chains, entries_of

    form = FORMATS[arguments.format]
    log = Path(read_policy(arguments.policy).guard.state) / "log"
    whole = _whole(log)
    for chain in chains(log):
        for entry in entries_of(chain):
            if (line := form(entry, chain.name)) is not None:
                sys.stdout.buffer.write(line.encode() + b"\n")
    return whole


def show(arguments: argparse.Namespace) -> int:
    """Print what one key or client asked and got."""
    from unseen.guard.incident import incident
    from unseen.guard.log.reading import entries

    log = Path(read_policy(arguments.policy).guard.state) / "log"
    whole = _whole(log)
    sys.stdout.write(incident(entries(log), id_in(arguments.key)))
    return whole


def shred(arguments: argparse.Namespace) -> int:
    """Delete a tenant's fingerprint key, and write down that it is gone."""
    from unseen.guard.gateway import changes
    from unseen.guard.tenant_keys import tenant_key_path

    policy = read_policy(arguments.policy)
    path = tenant_key_path(Path(policy.guard.state), arguments.tenant)
    if not path.exists():
        raise PolicyError("there is no fingerprint key of this tenant.")
    with changes(policy) as write:  # before the key is gone: that it went must be written down
        path.unlink()
        write(what="shredded", client="", detail=path.name)
    sys.stdout.write(
        "The fingerprints of this tenant say nothing any more. Guards that run make a new key within a second.\n"
    )
    return 0


def _by_another(chain: Path, keys: Sequence[bytes]) -> str:
    """Return what to say of a chain that names a key which is not among `keys`."""
    from unseen.guard.log.entries import Start
    from unseen.guard.log.reading import entries_of

    named = {entry.public_key: None for entry in entries_of(chain) if isinstance(entry, Start)}
    given = " ".join(f"--public-key {key}" for key in {**named, **{key.hex(): None for key in keys}})
    return (
        "NOT PROVEN: it was signed with another secret. Is guard.secret not the one that the guard had? Then set that. "
        f"Was it rotated? Then verify with both keys, if you know the old one: {given}. If neither, somebody else "
        "wrote this"
    )


def _whole(log: Path) -> int:
    """Return 0 where the log is as it was written; else say so, and return 1. Raises `FolderError` without a log."""
    from unseen.guard.log.verifying import verify as verified

    verdicts = verified(log, [])
    if not verdicts:
        raise FolderError(f"there is no log in {log.absolute()}.")
    broken = [one.chain for one in verdicts if one.bad]
    if broken:
        said = f"the log is not as it was written ({', '.join(broken)}), and what is damaged or gone is left out here"
        sys.stderr.write(f"unseen guard: {said}: see unseen guard log verify.\n")
    return 1 if broken else 0
