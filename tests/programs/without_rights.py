"""supervisor-memkill as a user who may not use supervisord's socket."""

from __future__ import annotations

import encodings.idna
import encodings.utf_8_sig
import importlib
import os
import pkgutil
import sys

import supervisor_memkill
from supervisor_memkill.cli import main

if __name__ == "__main__":
    # Imported before the change of user: that one may not be able to read this installation.
    for module in pkgutil.walk_packages(supervisor_memkill.__path__, "supervisor_memkill."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    _ = (encodings.idna, encodings.utf_8_sig)
    if os.geteuid() == 0:
        os.setuid(65534)
    sys.exit(main(sys.argv[1:]))
