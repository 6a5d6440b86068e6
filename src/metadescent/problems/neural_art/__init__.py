"""Neural art (section 3.4): pictures styled by the features of a network."""
