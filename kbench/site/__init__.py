"""A static site of several experiments: an index, their reports, a leaderboard, a page for each
similarity and evaluation set.
"""
