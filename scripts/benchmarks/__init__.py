"""What `scripts/bench` runs: each module with a `run(quick)` measures one thing against its floor.

A figure is a ratio taken in one run on one machine wherever that can be; CPU per unit comes from
the scheduler's nanoseconds of each process. Nothing here is part of the product.
"""
