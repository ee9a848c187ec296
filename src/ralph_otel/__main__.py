"""The entry of the command `ralph-otel`. A hook's call is answered at once; everything else is `ralph_otel.cli`'s."""

from __future__ import annotations

import sys

from ralph_otel import hooks


def main() -> None:
    """Run the command line; ends the process."""
    if hooks.is_call(sys.argv[1:]):
        hooks.main()
    from ralph_otel.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
