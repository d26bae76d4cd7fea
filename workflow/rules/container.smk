# The image that every job runs in when, and only when, containers are asked for (--use-singularity).
container: experiment.image
