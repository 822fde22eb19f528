"""``python -m scheduler.cli``: the same as ``stowplan``."""

from scheduler.cli.main import main

main()
