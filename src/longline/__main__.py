"""`python -m longline` is the `longline` command."""

import sys

from longline.cli import main

sys.exit(main())
