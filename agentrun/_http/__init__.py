"""HTTP for models, in one place.

endpoint.py      where requests go: URL, headers, key, and what its exceptions say
refusal.py       what a reply of an error says
exchange.py      one request and its reply, read block by block and closed in every case
connections.py   the connections of an event loop, at rest between requests
http11.py        one connection of our own: h11 over an AnyIO stream
clients.py       httpx: the clients of users, and requests over a proxy
"""
