"""Experiment files: validated, resolved into frozen run configurations. Nothing here imports
torch.
"""
