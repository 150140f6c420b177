-- Read the whole pool. A script, because TIME has no key by which a cluster would find the node.
--
-- KEYS: as in common.lua.
-- Returns the time now (ms), then the fields and values of the hash in turn.

local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, string.format('%.0f', clock()))
return answer
