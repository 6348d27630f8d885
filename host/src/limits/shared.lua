-- The rule of counting.rs, in one step for all hosts.
-- KEYS: one counter for each policy, holding "<used> <end>".
-- ARGV: operation, cost, now, largest count; then for each policy its quota and the end of a window that begins now.
-- Times are milliseconds of the Unix epoch, by the clock of the host that asks.
-- Returns {used, end, violated} for each policy.

local operation, cost, now, largest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- Counters outlive their windows a little: hosts' clocks differ, and whether a window is over is decided by `now` alone.
local MARGIN = 60000

local counters, violation = {}, false
for i, key in ipairs(KEYS) do
  local quota, ends = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
  local used = 0
  local stored_used, stored_ends = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  if stored_used and tonumber(stored_ends) > now then
    used, ends = tonumber(stored_used), math.min(tonumber(stored_ends), ends)
  end
  local violated = used + math.max(cost, 1) > quota
  violation = violation or violated
  counters[i] = {used, ends, violated and 1 or 0}
end

if not (operation == 'take' and violation) then
  for _, counter in ipairs(counters) do
    if operation == 'refund' then
      counter[1] = math.max(counter[1] - cost, 0)
    else
      counter[1] = math.min(counter[1] + cost, largest)
    end
  end
end

if cost > 0 then
  for i, key in ipairs(KEYS) do
    local used, ends = counters[i][1], counters[i][2]
    if used > 0 then
      -- %.0f: tostring would round large numbers.
      redis.call('SET', key, string.format('%.0f %.0f', used, ends), 'PX', string.format('%.0f', ends - now + MARGIN))
    else
      redis.call('DEL', key)
    end
  end
end

return counters
