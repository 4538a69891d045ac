# What Longline uses of what kazoo offers to everybody; kazoo comes without types.
