"""The command line: parses arguments, calls the packages below, prints.

May import everything; nothing imports it. Modules that are slow to import are imported where a
command needs them.
"""
