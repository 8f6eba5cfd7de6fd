"""From a folder of images and a table to a pair of experiments."""
