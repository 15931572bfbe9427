"""`python -m checkpointkit` is the command line."""

import sys

from checkpointkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
