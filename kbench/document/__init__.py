"""What a report is made of, whatever computes it and whatever format it is written in: parts, and
numbers as text.
"""
