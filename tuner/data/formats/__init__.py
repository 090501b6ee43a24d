"""Readers of files, folders and data in memory; each returns its raw content."""
