"""`persais`, and `python -m persais_core`: the command line, with ctrl-C answered from the first import on."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from persais_core import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
