"""Workers: they run the jobs that the steps make, as many at once as is good, and no job twice.

Owns queues in memory, their limits, the claiming of overdue work, pausing and draining. Refuses to
know what a job does: `flow` does.
"""
