"""Models that were trained elsewhere: imported, kept, evaluated like one's own; and one's own for
everybody else.
"""
