"""The entry point of `python -I -m aerodrome.sidecar --config <file>`; `process` is the process itself."""

import sys

# structlog loads rich for pretty terminals where it is installed: 3 MB in every environment for lines nobody colours.
sys.modules.setdefault("rich", None)  # type: ignore[arg-type]

from aerodrome.sidecar import process  # noqa: E402 - after the line above, or it comes too late

sys.exit(process.main())
