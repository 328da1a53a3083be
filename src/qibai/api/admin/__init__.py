"""``/v1/admin``: what operators do with carriers, platforms, papers, codes, locks and quotas."""

from qibai.api.admin import applications, codes, limits, papers, platforms

HANDLERS = (
    *platforms.HANDLERS,
    *applications.HANDLERS,
    *papers.HANDLERS,
    *codes.HANDLERS,
    *limits.HANDLERS,
)

__all__ = ["HANDLERS"]
