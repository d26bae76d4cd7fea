"""Jobs on a Slurm cluster: what a site says, what each rule asks for, what is checked before the
first submission.
"""
