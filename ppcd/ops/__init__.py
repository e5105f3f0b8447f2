"""What surrounds a running node: logs, metrics, health, systemd, the control socket, the clock.

Owns how the node is watched and stopped. Refuses to know what a charge is.
"""
