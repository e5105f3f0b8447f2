"""PostgreSQL: facts, work rows and registers, and the transactions that write them.

Each module holds the transactions of one subject as plain functions of a cursor and a batch, and
`lanes` runs them. The store decides nothing about a charge that the domain could decide: it makes
decisions hold.
"""
