"""Diameter credit control (RFC 6733, RFC 8506) as a billing system: one-off debits of money.

Layers, from the wire up: `octets` (messages and AVPs), `codes` (numbers with their names),
`requests` and `answers` (what is asked, what the answers say about the money), `exchange` (one
connection's conversation, without IO), `driver` and `peer` (a connection, and keeping one up),
`adapter` (flow's protocol over two peers). `settings` is what operators write.
"""
