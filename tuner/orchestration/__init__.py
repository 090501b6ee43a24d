"""A search from start to champion, and the commands around it: train, status, sync, doctor.

May import everything below it; only the command line imports it.
"""
