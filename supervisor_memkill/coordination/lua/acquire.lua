-- Take a slot, or return the cause of the refusal. A token that holds a slot is granted it again.
--
-- KEYS: as in common.lua.
-- ARGV[1]: JSON of listener, instance, version, known, epoch, is_new, fresh_epoch, settle, fresh, ttl,
--   min_available, max_draining as for publish, and
--   id, token, queues, urgency
--   cooldown      ms
--   hard          true: the slot is granted at once, and recorded
--   already_out   true: the worker is out of service already; the slot is granted at once
--   dry           true: return the answer, but change nothing
-- Returns JSON of
--   refused       the cause; absent if the slot is granted
--   detail        the draining workers, the more urgent worker, or the seconds that are left
--   others, min_available, max_draining, draining
--   min_available_of, max_draining_of   the other listener whose setting this is, '?' if it is not known;
--                 absent if it is the setting of the listener that asks
--   taken_by      as for publish
--   epoch, seq, at

local request = cjson.decode(ARGV[1])
local now = clock()
local taken, other = is_taken(request, now)
request.dry = request.dry or taken
local meta = load_meta(now, request)
local slots = load_slots(meta, now, request)
local least, most, least_of, most_of = strictest(meta, request, now)
local others = others_in_service(meta, slots, request.id, request.queues, now)

local holders, draining, absent = {}, 0, {}
for id, slot in pairs(slots) do
  if slot.token ~= request.token then
    draining = draining + 1
    holders[draining] = id
    -- A listener of an earlier version does not say so.
    if (slot.not_back or '') ~= '' then absent[#absent + 1] = id .. ': ' .. slot.not_back end
  end
end
table.sort(holders)
table.sort(absent)

-- The worker as its listener reported it lately; nil if there is no recent report.
local function heard_of(id)
  local text = redis.call('HGET', KEYS[1], 'w:' .. id)
  local worker = text and cjson.decode(text) or nil
  return worker and worker['until_after'] and worker.seen + worker.until_after >= now and worker or nil
end

-- Whether the worker could drain if it were its turn: otherwise it must not block others. A worker without
-- a recent report is removed, or dead workers would be checked again and again.
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

-- The first result of visit(id, score) for the members that the command finds in a sorted set; nil if there
-- is none. It reads a page at a time, as nearly always the first page is enough.
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
  -- First the workers that have waited too long, by age.
  local limit = string.format('%.0f', is_patient and now - PATIENCE or since)
  local oldest = first_of('ZRANGEBYSCORE', KEYS[4], '-inf', limit, function(id, waited)
    local is_before = is_patient or waited < since or (waited == since and id < request.id)
    return is_before and could_go(id) and id
  end)
  if oldest or not is_patient then return oldest end
  -- Then the most urgent worker; among equals the one that asked first.
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
  if now < meta.settle then return settle_cause(meta), math.ceil((meta.settle - now) / 1000) .. 's left' end
  if not request.hard and absent[1] then return 'not_back', absent[1] end
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
    -- A listener that asks again counts the age of the slot from this request on, so the slot must last from now.
    local slot = slots[request.id]
    local own = slot and slot.token == request.token and slot or {}
    put_slot(meta, slots, request.id, {
      token = request.token, since = own.since or now, renewed = now, expires = now + request.ttl,
      not_back = own.not_back,
    })
  end
  save_meta(meta, now, request)
end
return cjson.encode({
  refused = refused, detail = detail, others = others, draining = draining,
  min_available = least, min_available_of = least_of, max_draining = most, max_draining_of = most_of,
  taken_by = taken and taken_by(other, now) or nil,
  epoch = meta.epoch, seq = meta.seq, at = meta.at,
})
