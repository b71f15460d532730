"""`python -m porl_ros.cli` is `porl`."""

from porl_ros.cli.main import main

raise SystemExit(main())
