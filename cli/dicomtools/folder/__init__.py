"""Reading many files of a folder: listed, remembered, spread over processes.

Reads in this order: `listing` (which files), `tasks` (what is read of one), `spread` (by whom), `cache`
(what is known already), `reading` (the whole).
"""
