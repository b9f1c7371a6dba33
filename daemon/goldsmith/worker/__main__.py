"""``python -m goldsmith.worker FD PARENT`` runs a worker process."""

import sys

from goldsmith.worker.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
