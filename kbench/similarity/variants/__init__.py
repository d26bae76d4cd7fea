"""One file a similarity variant; the file name, with dashes, is the variant's name."""
