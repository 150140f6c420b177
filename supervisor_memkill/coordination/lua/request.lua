-- Put a person's request to all listeners of the pool where each of them finds it at its next report.
--
-- The rest of the pool stays as it is: nothing here can hide that data was lost.
--
-- KEYS: as in common.lua.
-- ARGV[1]: JSON of
--   id, text   the request; a second arrival of the same id changes nothing
--   lasts      how long it is open (ms); 0: without an end
--   place      a newer request of the same place replaces an older one
--   most       so many requests may be open
-- Returns JSON of refused: 'full'; absent if the request is open.

local request = cjson.decode(ARGV[1])
local now = clock()
local list, replaced = {}, {}
for _, entry in ipairs(open_requests(now)) do
  if entry[1] == request.id then return cjson.encode({id = request.id}) end
  local kept = entry[4] == request.place and replaced or list
  kept[#kept + 1] = entry
end
if #list >= request.most then return cjson.encode({refused = 'full'}) end
for _, entry in ipairs(replaced) do
  redis.call('HDEL', KEYS[1], 'q:' .. entry[1])
end
list[#list + 1] = {request.id, now, request.lasts > 0 and now + request.lasts or 0, request.place}
redis.call('HSET', KEYS[1], 'q:' .. request.id, request.text)
save_requests(list)
return cjson.encode({id = request.id})
