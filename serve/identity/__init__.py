"""Who somebody is and on whose behalf a client asks: logins, OAuth 2, registered clients, withdrawals.

Imports stores by their ports, never a driver; Ray not at all. Endpoints are mounted by `serve/api.py` through
`serve/identity/routes.py` alone.
"""
