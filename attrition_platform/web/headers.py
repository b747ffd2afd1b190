"""Headers of every page: what it may load, who may frame or keep it."""

from __future__ import annotations

Headers = tuple[tuple[bytes, bytes], ...]


def security_headers(policy: str) -> Headers:
    """The headers of a page under a content security policy."""
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cache-control", b"no-store"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    )
