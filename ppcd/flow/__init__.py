"""The way of a charge, a file a step: request, prompt, reply, debit, notify, expire.

Owns the order in which facts are committed and the world is spoken to: commit first, then the
byte that says so. Declares in `ports` what it needs of links, billing and webhooks; `service` fills
it in.
"""
