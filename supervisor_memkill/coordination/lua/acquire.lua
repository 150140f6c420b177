-- Take a slot, or be told why not. The token that holds one already is told so.
--
-- KEYS: as in common.lua.
-- ARGV[1]: JSON of listener, instance, version, known, fresh_epoch, settle, fresh, ttl, min_available,
--   max_draining as for publish, and
--   id, token, queues, urgency
--   cooldown      ms
--   hard          true: the slot is recorded though not waited for
--   already_out   true: the worker is out of service already; nothing is waited for
--   dry           true: say what would be answered, and change nothing
-- Returns JSON of
--   refused       the cause, absent when the slot is held
--   detail        the workers that drain, the one that goes first, or the seconds that are left
--   others, min_available, draining
--   epoch, seq, at

local request = cjson.decode(ARGV[1])
local now = clock()
local taken = is_taken(request, now)
request.dry = request.dry or taken
local meta = load_meta(now, request)
local slots = load_slots(meta, now, request)
local least, most = strictest(meta, request, now)
local others = others_in_service(meta, slots, request.id, request.queues, now)

local holders, draining = {}, 0
for id, slot in pairs(slots) do
  if slot.token ~= request.token then
    draining = draining + 1
    holders[draining] = id
  end
end
table.sort(holders)

-- Whether this worker's listener told of it of late; and what it works on.
local function heard_of(id)
  local text = redis.call('HGET', KEYS[1], 'w:' .. id)
  local worker = text and cjson.decode(text) or nil
  return worker and worker['until_after'] and worker.seen + worker.until_after >= now and worker or nil
end

-- Whether it waits for nothing but its turn: one that could not go itself keeps nobody waiting. One
-- that was not heard of is cleared away, or the dead would be looked through again and again.
local cleared = 0
local function could_go(id)
  if id == request.id or slots[id] then return false end
  local worker = heard_of(id)
  if not worker and not request.dry then
    redis.call('ZREM', KEYS[3], id)
    redis.call('ZREM', KEYS[4], id)
    cleared = cleared + 1
  end
  return worker and others_in_service(meta, slots, id, worker.queues, now) >= least
end

-- What visit(id, score) returns first, of those that the command finds in a sorted set; nil when it
-- returns nothing for all. A page at a time: nearly always the first one tells.
local PAGE = 20
local function first_of(command, key, from, to, visit)
  local offset = 0
  while true do
    local found = redis.call(command, key, from, to, 'WITHSCORES', 'LIMIT', offset, PAGE)
    local cleared_before = cleared
    for index = 1, #found, 2 do
      local result = visit(found[index], tonumber(found[index + 1]))
      if result then return result end
    end
    if #found < 2 * PAGE then return nil end
    offset = offset + PAGE - (cleared - cleared_before)
  end
end

local function goes_before()
  local since = tonumber(redis.call('ZSCORE', KEYS[4], request.id) or now)
  local is_patient = now - since < PATIENCE
  -- First those that waited for too long, by age.
  local limit = string.format('%.0f', is_patient and now - PATIENCE or since)
  local oldest = first_of('ZRANGEBYSCORE', KEYS[4], '-inf', limit, function(id, waited)
    local is_before = is_patient or waited < since or (waited == since and id < request.id)
    return is_before and could_go(id) and id
  end)
  if oldest or not is_patient then return oldest end
  -- Then the most urgent; among equals the one that asked first.
  local best, best_urgency, best_since
  local function is_better(id, waited)
    return not best or waited < best_since or (waited == best_since and id < best)
  end
  first_of('ZREVRANGEBYSCORE', KEYS[3], '+inf', request.urgency, function(id, urgency)
    if best and urgency < best_urgency then return best end
    local waited = tonumber(redis.call('ZSCORE', KEYS[4], id) or now)
    local is_before = urgency > request.urgency or waited < since or (waited == since and id < request.id)
    if is_before and is_better(id, waited) and could_go(id) then
      best, best_urgency, best_since = id, urgency, waited
    end
  end)
  return best
end

local function judge()
  if taken then return 'name_taken', request.listener end
  local slot = slots[request.id]
  if (slot and slot.token == request.token) or request.already_out then return nil, '' end
  if now < meta.settle then return 'settling', math.ceil((meta.settle - now) / 1000) .. 's left' end
  if not request.hard and draining >= most then return 'slots_taken', table.concat(holders, ', ') end
  if others < least then return 'too_few_in_service', '' end
  if request.hard then return nil, '' end
  local ended = now - meta.released
  if meta.released > 0 and ended < request.cooldown then
    return 'cooldown', math.ceil((request.cooldown - ended) / 1000) .. 's left'
  end
  local first = goes_before()
  if first then return 'more_urgent', first end
  return nil, ''
end

local refused, detail = judge()
if not request.dry then
  if not refused then
    -- Who asks again counts the slot's age from this request on, so that it must last from now on.
    local slot = slots[request.id]
    local since = slot and slot.token == request.token and slot.since or now
    put_slot(meta, slots, request.id, {token = request.token, since = since, renewed = now, expires = now + request.ttl})
  end
  save_meta(meta, now)
end
return cjson.encode({
  refused = refused, detail = detail, others = others, min_available = least, draining = draining,
  epoch = meta.epoch, seq = meta.seq, at = meta.at,
})
