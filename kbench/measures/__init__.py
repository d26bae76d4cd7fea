"""Measures of arrays: accuracies, ranks, spectra, the published logistic regression. Nothing here
knows of runs.
"""
