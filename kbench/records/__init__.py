"""What is read and written: the base of every section and document, and the documents that runs
leave behind.
"""
