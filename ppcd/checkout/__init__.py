"""The hosted payment page: sessions, their pages, and the files that browsers get.

Owns what the subscriber's browser sees. Refuses to decide anything about a charge: the page asks
`flow` for one as a partner would, and tells what became of it.
"""
