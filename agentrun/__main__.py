"""`python -m agentrun`."""

import sys

from agentrun._cli import main

if __name__ == "__main__":
    sys.exit(main())
