"""What kbench sees: of the machine or container it runs in, of a Slurm cluster, of one of its
compute nodes.
"""
