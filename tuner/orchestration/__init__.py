"""A search from start to champion, and what else is done with it: status, sync, doctor.

May import everything below it; only the command line imports it.
"""
