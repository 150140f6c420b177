-- The whole pool, to be read; in one script, as TIME has no key by which a cluster would find its node.
--
-- KEYS: as in common.lua.
-- Returns the milliseconds of now, then the hash's fields and values in turn.

local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, string.format('%.0f', clock()))
return answer
