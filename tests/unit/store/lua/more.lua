local more = 1
