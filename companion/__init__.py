"""The book around the studies: data, chapters, figures, execution and the command line."""
