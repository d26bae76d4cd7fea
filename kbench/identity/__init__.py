"""Which code made a result: the modules that a stage of the work used, each with a hash of what it
does.

Found by reading files, never by importing them, so that asking costs no import of torch and needs
no GPU.
"""
