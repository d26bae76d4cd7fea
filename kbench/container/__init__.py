"""The image that jobs run in: wheels and checkout in, Docker image and SIF out, and running jobs in
either.

wheelhouse  packages as wheels, resolved by the host's pip     engine     the Docker engine, through
its SDK checkout    the sources an image is built from                 apptainer  Apptainer's
command line context     what a build is given                              sif        the header of
a SIF file record      container.json                                     image      the image that
a workflow is told to use isolation   what a job may see of the machine                  doctor
what a job does see of the machine
"""
