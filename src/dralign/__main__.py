"""``python -m dralign``: the command line."""

import sys

from dralign.cli import main

if __name__ == "__main__":
    sys.exit(main())
