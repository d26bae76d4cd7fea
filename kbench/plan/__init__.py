"""What an experiment comes to before anything runs: jobs, frozen files, costs. Nothing here imports
torch.
"""
