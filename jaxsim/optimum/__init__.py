"""The optimal true risk inf_theta L(theta), a bracket with its evidence."""
