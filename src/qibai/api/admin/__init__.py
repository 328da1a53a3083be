"""``/v1/admin``: what operators do with resources, what takes two of them, and the audit trail of it all."""

from qibai.api.admin import applications, audit, codes, dual, existing, limits, papers, platforms

HANDLERS = (
    *platforms.HANDLERS,
    *applications.HANDLERS,
    *papers.HANDLERS,
    *codes.HANDLERS,
    *limits.HANDLERS,
    *dual.HANDLERS,
    *audit.HANDLERS,
    *existing.HANDLERS,
)

__all__ = ["HANDLERS"]
