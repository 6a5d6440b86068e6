"""An optimizer m going down f (figure 2), learned or hand-designed: the same code."""
