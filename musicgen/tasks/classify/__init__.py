"""Classifying pieces, many to one: labels of a corpus, training on windows, probabilities of whole pieces, figures."""
