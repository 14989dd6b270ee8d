"""The learning problem: law of (X, Y), loss, true risk and optimal true risk."""
