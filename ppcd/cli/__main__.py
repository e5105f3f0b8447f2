"""`python -m ppcd.cli`."""

from ppcd.cli.main import main

raise SystemExit(main())
