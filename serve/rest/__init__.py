"""The REST interface: the Spotify Web API's shapes, paths and codes under `/v1`."""
