"""Which neighbours share a fate: the range of network addresses that one customer or one office has."""

import ipaddress

IPV4_PREFIX_BITS = 24
IPV6_PREFIX_BITS = 56
"""What providers give to one household at most; a single /64 would be one bucket of thousands."""


def range_of(address: str) -> str:
    """The address's /24 or /56; what is no address stands for itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"range {address}"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, IPV6_PREFIX_BITS), strict=False))
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, IPV4_PREFIX_BITS), strict=False))
