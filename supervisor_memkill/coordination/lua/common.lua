-- Functions that all scripts use. This file is put before each script.
--
-- One pool is four keys of one hash tag, none with a TTL:
--   KEYS[1]  PREFIX:{POOL}       hash
--     meta           the state of the pool: see load_meta
--     w:<worker id>  JSON of the worker as its listener reported it, with "seen" (ms)
--     s:<worker id>  JSON of the worker's slot: token, since, renewed, expires (ms), not_back (why the worker
--                    does not come back into service, or '')
--     l:<listener>   JSON: instance, until, seen (ms), workers, version, process, rules, report, answers: see
--                    publish
--     k:<listener>   JSON: epoch and seq of the last write of this listener
--     requests       JSON: the open requests of people to all listeners; see open_requests
--     q:<request id> the text of such a request, which only listeners and commands read
--   KEYS[2]  PREFIX:{POOL}:up    sorted set of the workers, those in service apart; see up_score
--   KEYS[3]  PREFIX:{POOL}:ask   sorted set of the workers that ask for a slot, by urgency
--   KEYS[4]  PREFIX:{POOL}:wait  the same workers, by the time (ms) since when they ask
-- The sorted sets contain nothing that is not in the hash: they avoid reading all of it. If one were
-- lost, fewer workers would count as in service until the next heartbeats write it again.
--
-- Times are in milliseconds, by the clock of this Redis.

local SPAN = 4398046511104 -- 2^42 ms, the year 2109; a double is exact up to 2^53
local NOT_UP = 0 -- not the number of any set of queues: see up_score
local FORGET = 86400000 -- a day
local PATIENCE = 1800000 -- as PATIENCE_SECONDS in rules.py
local CLOCK_SLACK = 1000 -- clock corrections may set TIME back a little

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- epoch: new after each loss of data. born: when it began, if born_of is that same epoch; a listener of an
-- older version changes epoch alone. seq: number of writes. at: time of the last write. settle: no slot is
-- granted before this time. settle_cause: why, if settle_of is that same time; a listener of an older version
-- changes settle alone. began: when a listener that is new itself found no key of this pool. released: end of
-- the last drain. rules: "min_available/max_draining" to the time until which they count. rules_of: the same
-- to {listener, till}, the last listener that has these. sigs: the known sets of queues, each as one text;
-- false if the number is free. swept: see publish. slots: ids of the workers that hold one.

-- No slot is granted before this time.
local function hold(meta, till, cause)
  if till > meta.settle then meta.settle, meta.settle_of, meta.settle_cause = till, till, cause end
end

local function settle_cause(meta)
  return meta.settle_of == meta.settle and meta.settle_cause or 'settling'
end

-- No key of the pool is left, as if there never was one.
local function has_no_key()
  for index = 2, 4 do
    if redis.call('ZCOUNT', KEYS[index], '-inf', '+inf') > 0 then return false end
  end
  return true
end

local function read_meta()
  local text = redis.call('HGET', KEYS[1], 'meta')
  return text and cjson.decode(text) or nil
end

-- Whether the data is older than the last write of this listener that it knows of. Once others wrote to such
-- data, neither the time nor the number of writes shows that.
local function is_older(meta, now, listener, known)
  if known.at > meta.at or (known.epoch == meta.epoch and known.seq > meta.seq) then return true end
  if known.epoch ~= meta.epoch then return meta.born_of == meta.epoch and meta.born < known.at end
  if now - known.at >= FORGET then return false end -- The field may have been removed.
  local text = redis.call('HGET', KEYS[1], 'k:' .. listener)
  local own = text and cjson.decode(text) or nil
  return not own or own.epoch ~= known.epoch or own.seq < known.seq
end

-- Whether data was lost since the listener saw the pool last.
local function is_lost(meta, now, request)
  return not meta or now < meta.at - CLOCK_SLACK
    or (request.known and is_older(meta, now, request.listener, request.known))
end

local function load_meta(now, request)
  local meta = read_meta()
  local lost = is_lost(meta, now, request)
  local is_new = not meta and request.is_new and has_no_key()
  meta = meta or {version = request.version, rules = {}, sigs = {}, slots = {}, released = 0}
  if lost then
    meta.epoch, meta.seq, meta.at, meta.settle, meta.began = request.fresh_epoch, 0, now, 0, nil
    meta.born, meta.born_of = now, meta.epoch
    meta.released, meta.rules = math.min(meta.released, now), {}
    -- Until then, every listener reports again which workers are in service and which ask.
    if is_new then
      -- This listener cannot have lost a slot. Another one that lives reports until then, if there is one.
      meta.began = now
      hold(meta, now + math.min(request.fresh, request.settle), 'new_pool')
    else
      hold(meta, now + request.settle, 'data_lost')
    end
    if not request.dry then redis.call('DEL', KEYS[2], KEYS[3], KEYS[4]) end
  elseif meta.began and not request.is_new and request.epoch ~= meta.epoch then
    -- This listener saw the pool before it began: the pool was not new, its data was lost.
    hold(meta, meta.began + request.settle, 'data_lost')
  end
  return meta
end

local function save_meta(meta, now, request)
  -- Never earlier, not even by the slack: a listener that saw the later time would assume a loss of data.
  meta.seq, meta.at = meta.seq + 1, math.max(meta.at, now)
  local own = cjson.encode({epoch = meta.epoch, seq = meta.seq})
  redis.call('HSET', KEYS[1], 'meta', cjson.encode(meta), 'k:' .. request.listener, own)
end

-- The slots that are taken, by worker id. Expired slots are removed for good. If a slot expired while no
-- listener wrote at all, Redis was away or its clock was set forward, and the holder may be alive: all
-- listeners get time to report.
local function load_slots(meta, now, request)
  local slots, kept = {}, {}
  for _, id in ipairs(meta.slots) do
    local text = redis.call('HGET', KEYS[1], 's:' .. id)
    local slot = text and cjson.decode(text) or nil
    -- A slot that was renewed in the future is from before the clock was set back.
    if slot and slot.expires > now and slot.renewed <= now + CLOCK_SLACK then
      slots[id] = slot
      kept[#kept + 1] = id
    elseif slot then
      if now - meta.at > request.fresh then
        hold(meta, now + request.fresh, 'redis_was_away')
      end
      if not request.dry then redis.call('HDEL', KEYS[1], 's:' .. id) end
    end
  end
  meta.slots = kept
  return slots
end

local function put_slot(meta, slots, id, slot)
  if not slots[id] then meta.slots[#meta.slots + 1] = id end
  slots[id] = slot
  redis.call('HSET', KEYS[1], 's:' .. id, cjson.encode(slot))
end

local function drop_slot(meta, slots, id)
  slots[id] = nil
  redis.call('HDEL', KEYS[1], 's:' .. id)
  local kept = {}
  for _, other in ipairs(meta.slots) do
    if other ~= id then kept[#kept + 1] = other end
  end
  meta.slots = kept
end

-- There are few sets of queues, so each has a number, from 1 on. One sorted set contains all workers:
-- first by the number of their set of queues, or NOT_UP, then by the time until which their report counts.
local function sig_index(meta, sig)
  local free = #meta.sigs + 1
  for index, other in ipairs(meta.sigs) do
    if other == sig then return index end
    if not other then free = index end
  end
  meta.sigs[free] = sig
  return free
end

local function up_score(index, till)
  return string.format('%.0f', index * SPAN + till)
end

local function queues_of(sig)
  local queues = {}
  for queue in string.gmatch(sig, '[^\n]+') do queues[queue] = true end
  return queues
end

local function covers(sig, wanted)
  local queues = queues_of(sig)
  for queue in pairs(wanted) do
    if not queues[queue] then return false end
  end
  return true
end

-- The number of workers other than `id`, without a slot, that would take the jobs of these queues now.
local function others_in_service(meta, slots, id, sig, now)
  local wanted, count, covered = queues_of(sig), 0, {}
  for index, other in ipairs(meta.sigs) do
    if other and covers(other, wanted) then
      covered[index] = true
      count = count + redis.call('ZCOUNT', KEYS[2], up_score(index, now), up_score(index, SPAN - 1))
    end
  end
  local function leave_out(worker)
    local score = tonumber(redis.call('ZSCORE', KEYS[2], worker) or '')
    if not score then return end
    local index = math.floor(score / SPAN)
    if covered[index] and score - index * SPAN >= now then count = count - 1 end
  end
  leave_out(id)
  for holder in pairs(slots) do
    if holder ~= id then leave_out(holder) end
  end
  return count
end

-- The strictest rules of the live listeners, and for each of both the listener that has it: nil for the one
-- that asks, '?' if it is not known.
local function strictest(meta, request, now)
  local least, most, least_of, most_of = request.min_available, request.max_draining, nil, nil
  local names = meta.rules_of or {}
  for rules, till in pairs(meta.rules) do
    local l, m = string.match(rules, '^(%d+)/(%d+)')
    l, m = tonumber(l), tonumber(m)
    if till < now then
      meta.rules[rules], names[rules] = nil, nil
    else
      local of = names[rules] and names[rules].till >= now and names[rules].listener or '?'
      if l > least or (l == least and least_of and of < least_of) then least, least_of = l, of end
      if m < most or (m == most and most_of and of < most_of) then most, most_of = m, of end
    end
  end
  return least, most, least_of, most_of
end

-- The open requests, a list of {id, made (ms), until (ms; 0: without an end), place}, in the order in which
-- they were made. A newer request of the same place replaced the older one. Those whose time is over are
-- removed. What is not understood is left out: a newer version may have written it.
local function save_requests(list)
  if list[1] then
    redis.call('HSET', KEYS[1], 'requests', cjson.encode(list))
  else
    redis.call('HDEL', KEYS[1], 'requests')
  end
end

local function open_requests(now)
  local text = redis.call('HGET', KEYS[1], 'requests')
  local is_read, list = pcall(cjson.decode, text or '[]')
  local kept, is_changed = {}, false
  for _, entry in ipairs(is_read and type(list) == 'table' and list or {}) do
    local id, made, till = unpack(type(entry) == 'table' and entry or {})
    local is_known = type(id) == 'string' and type(made) == 'number' and type(till) == 'number'
    if is_known and till > 0 and till <= now then
      redis.call('HDEL', KEYS[1], 'q:' .. id)
      is_changed = true
    elseif is_known then
      kept[#kept + 1] = entry
    end
  end
  if is_changed then save_requests(kept) end
  return kept
end

-- Whether another live listener has the same name; and the record of the last listener with this name.
local function is_taken(request, now)
  local text = redis.call('HGET', KEYS[1], 'l:' .. request.listener)
  local other = text and cjson.decode(text) or nil
  return other and other.instance ~= request.instance and other['until'] > now, other
end

-- What a listener whose name is taken is answered about the other one.
local function taken_by(other, now)
  return {process = other.process, left = math.max(0, other['until'] - now)}
end
