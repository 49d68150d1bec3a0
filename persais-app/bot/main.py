"""Starts this bot: `python -m bot.main` does what `persais serve` does."""

from pathlib import Path


def main() -> None:
    """Serve until the process is told to stop."""
    # Loaded here, so that looking at this module does not load the whole framework.
    from persais_core import release

    release.run(Path(__file__).resolve().parents[1])


if __name__ == "__main__":
    main()
