"""The `unseen` command where the guard alone is installed: `unseen guard ...` and `unseen controls ...`."""

import sys

from unseen import __version__
from unseen.errors import UnseenError

USAGE = """usage: unseen guard ...              a policy, enforced in front of a running model
       unseen controls [show NAME]   what lets an answer say less

This is the distribution unseen-guard. To audit a model, install unseen instead: pip install 'unseen[guard]'.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        sys.stdout.write(f"{__version__}\n")
        return 0
    if arguments[:1] == ["guard"]:
        from unseen.guard.commands import main as guard

        return guard(arguments[1:])
    if arguments[:1] == ["controls"]:
        return _controls(arguments[1:])
    helped = arguments in ([], ["--help"], ["-h"])
    (sys.stdout if helped else sys.stderr).write(USAGE)
    return 0 if helped else 2


def _controls(arguments: list[str]) -> int:
    from unseen.controls.describing import explained, listing

    if arguments and (arguments[0] != "show" or len(arguments) != 2):
        sys.stderr.write(USAGE)
        return 2
    try:
        sys.stdout.write((explained(arguments[1]) if arguments else listing()).rstrip("\n") + "\n")
    except UnseenError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    return 0
