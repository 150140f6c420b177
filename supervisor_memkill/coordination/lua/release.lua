-- Give a slot back. Only the token that holds it can.
--
-- KEYS: as in common.lua.
-- ARGV[1]: JSON of version, known, epoch, is_new, fresh_epoch, settle, fresh as for publish, and
--   id, token
--   drained   true: the worker was taken out of service, so the pool's cooldown begins, even if the slot
--             was lost meanwhile
--   ago       how long ago the drain ended (ms)
-- Returns JSON of released, epoch, seq, at

local request = cjson.decode(ARGV[1])
local now = clock()
local meta = load_meta(now, request)
local slots = load_slots(meta, now, request)
local slot = slots[request.id]
local released = slot ~= nil and slot.token == request.token
if released then drop_slot(meta, slots, request.id) end
if request.drained then meta.released = math.max(meta.released, now - request.ago) end
save_meta(meta, now, request)
return cjson.encode({released = released, epoch = meta.epoch, seq = meta.seq, at = meta.at})
