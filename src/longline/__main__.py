"""`python -m longline` is the `longline` command, which comes with the server."""

import sys
from importlib.util import find_spec

if find_spec("longline.cli") is None:
    sys.exit("longline: the command comes with the server: pip install 'longline[server]'")

from longline.cli import main

sys.exit(main())
