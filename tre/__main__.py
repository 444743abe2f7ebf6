"""The entry point. ``--version`` is answered before anything heavy is imported."""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        from tre import __version__

        sys.stdout.write(f"tre {__version__}\n")
        return
    from tre.cli.app import run

    run()


if __name__ == "__main__":
    main()
