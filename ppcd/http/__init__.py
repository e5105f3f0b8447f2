"""HTTP/1.1 for all who need it: `client` for outgoing requests, `server` for the sites we serve.

Refuses to know what is said over it: no charges, partners or billing here.
"""
