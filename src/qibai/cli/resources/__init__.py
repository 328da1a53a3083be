"""Carriers, application platforms, papers, locks and quotas: a group of commands each."""
