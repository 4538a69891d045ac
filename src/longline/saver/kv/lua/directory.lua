-- The directory of the filters of apps, in their home partitions: `mh:<app>` says in which partitions a session may have
-- a filter, `mg` when that was noted last, for a while. kv/matching.py says how an entry comes and goes.

local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function directory_entry(filter, partition)
  return filter .. '\0' .. partition
end
