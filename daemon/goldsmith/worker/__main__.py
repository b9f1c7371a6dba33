"""``python -m goldsmith.worker FD PARENT`` runs a worker process."""

import sys

from goldsmith.worker.main import main

main(sys.argv[1:])
