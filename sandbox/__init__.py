"""A stand-in for the Lead Provider API, version 3, on your own machine.

Written from the API's documented behaviour alone and sharing no code with any client of it, so
that the two are separate readings of one contract.
"""
