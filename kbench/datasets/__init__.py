"""Datasets to evaluate on, in CLIP_benchmark's webdataset layout; one metadata file each in
datasets/.
"""
