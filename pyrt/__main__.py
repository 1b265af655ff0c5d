"""The command line, for `python -m pyrt`."""

from __future__ import annotations

from pyrt.cli.main import main

if __name__ == "__main__":
    main()
