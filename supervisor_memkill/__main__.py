"""``python -m supervisor_memkill``."""

import sys

from supervisor_memkill.cli import main

if __name__ == "__main__":
    sys.exit(main())
