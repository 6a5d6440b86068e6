"""An optimizer for one family of problems: quasi-Newton steps with a guard and a leading LSTM."""
