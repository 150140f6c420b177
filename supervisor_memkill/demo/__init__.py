"""A complete run with throwaway workers, in about a minute.

Its workers are modules of this package too and must stay small: nothing is imported here.
"""
