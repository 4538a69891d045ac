# What Longline uses of kazoo, which comes without types.
