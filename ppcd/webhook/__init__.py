"""Notifications on their way out: signed, posted, judged.

Fulfils flow's `Notifier`. Owns Standard Webhooks signatures, where events may be sent, and what an
answer means. Refuses to know charges and what is in a body.
"""
