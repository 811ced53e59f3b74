-- The rolling log of calls, as one atomic step. Why it is right is told in quota.py.
--
-- A slot is a member of a sorted set whose score is the moment (microseconds of Redis TIME) until
-- which it counts. A slot in flight counts until it would have been dated by itself, plus what a
-- dated slot counts; dating it when its answer arrives moves that moment.
--
-- KEYS   1      all           hash   which incarnation of Redis's memory this is
--        2      log           hash   state of this key's log: of, epoch, opened, n, turn:<lane>
--        3-5    slots         zset   live, poll, bulk: grant -> counts until
--        6      flight        zset   grant -> dated by itself at
--        7      foreign       zset   <seq>:<how many> -> count until
--        8-10   tickets       zset   live, poll, bulk: caller -> comes back at
--        11     address       hash   state of the address's log: of, epoch, opened, n
--        12     address slots zset   "<grant> <key>" -> counts until
--        13     address used  hash   key -> slots
--        14     address ticks zset   "<caller> <key>" -> comes back at
--        (11-14 only where the address has a limit)
-- ARGV   the operation, then name and value in turn

local op, arg = ARGV[1], {}
for i = 2, #ARGV - 1, 2 do arg[ARGV[i]] = ARGV[i + 1] end

local LANES = {'live', 'poll', 'bulk'}
local ALL, LOG, FLIGHT, FOREIGN = KEYS[1], KEYS[2], KEYS[6], KEYS[7]
local SLOTS = {live = KEYS[3], poll = KEYS[4], bulk = KEYS[5]}
local TICKETS = {live = KEYS[8], poll = KEYS[9], bulk = KEYS[10]}
local ADDRESS, ADDRESS_SLOTS = KEYS[11], KEYS[12]
local ADDRESS_USED, ADDRESS_TICKETS = KEYS[13], KEYS[14]

local FEW = 3         -- below this many slots not every lane can own one: they take turns
local LOOK_AHEAD = 64 -- freeing slots looked at to tell a caller when to come back

local function text(number) return string.format('%.0f', number) end

local function clock()
  if arg.now then return tonumber(arg.now) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Changes whenever the memory may be another one: a restart, a promoted replica.
local function history()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return 'none' end
  return string.match(info, 'master_replid:(%w+)') or 'none'
end

local function read(key, ...)
  local names, found = {...}, {}
  local values = redis.call('HMGET', key, unpack(names))
  for i, name in ipairs(names) do found[name] = values[i] or nil end
  return found
end

local now = clock()
local keep, hold, grace = tonumber(arg.keep), tonumber(arg.hold), tonumber(arg.grace)
local limit = tonumber(arg.limit)
local all = read(ALL, 'gen', 'id', 'seq', 'last', 'history')
local log = read(LOG, 'of', 'epoch', 'opened', 'n', 'turn:live', 'turn:poll', 'turn:bulk')
local address = ADDRESS and read(ADDRESS, 'of', 'epoch', 'opened', 'n')
local seq = tonumber(all.seq or 0)

local written = {} -- keys whose time to live begins anew

local function add(key, at, member)
  written[key] = true
  return redis.call('ZADD', key, text(at), member)
end

-- ------------------------------------------------------------------------------------- counting

local function count(key, at)
  return redis.call('ZCOUNT', key, '(' .. text(at), '+inf')
end

-- The next members to run out, each followed by when.
local function first(key, n)
  return redis.call('ZRANGEBYSCORE', key, '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, n)
end

local function foreign_calls(at)
  local calls = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', FOREIGN, '(' .. text(at), '+inf')) do
    calls = calls + tonumber(string.match(member, ':(%d+)$'))
  end
  return calls
end

-- Callers of a lane who were refused, other than this one; those due before a moment if given.
local function waiting(lane, before)
  local from, to = '(' .. text(now - grace), before and '(' .. text(before) or '+inf'
  local tickets = redis.call('ZCOUNT', TICKETS[lane], from, to)
  if before or not arg.caller then return tickets end
  local own = redis.call('ZSCORE', TICKETS[lane], arg.caller)
  return (own and tonumber(own) > now - grace) and tickets - 1 or tickets
end

-- How many slots of the address this key may hold: what the others leave, and never less than its
-- equal part of it, as far as the others have not yet taken that.
local function address_allows(mine, total)
  local calls = tonumber(arg.address_limit)
  local wanted, keys, owed = {}, 1, 0
  local tickets = redis.call('ZRANGEBYSCORE', ADDRESS_TICKETS, '(' .. text(now - grace), '+inf')
  for _, ticket in ipairs(tickets) do
    local key = string.match(ticket, '^%S+ (.*)$')
    if key ~= arg.key then
      if not wanted[key] then keys = keys + 1 end
      wanted[key] = (wanted[key] or 0) + 1
    end
  end
  local part = math.floor(calls / keys)
  for key, wants in pairs(wanted) do
    local used = tonumber(redis.call('HGET', ADDRESS_USED, key) or 0)
    owed = owed + math.min(wants, math.max(0, part - used))
  end
  local left = calls - (total - mine)
  return math.min(left, math.max(part, left - owed))
end

local function shares(capacity)
  local function part(percent)
    return math.max(1, math.floor(capacity * tonumber(percent) / 100 + 0.5))
  end
  local poll, bulk = part(arg.poll), part(arg.bulk)
  return {live = capacity - poll - bulk, poll = poll, bulk = bulk}
end

-- What is taken at a moment (now, or a later one if nothing else happened), and what there is.
local function view(at)
  local seen = {used = {}, total = 0, bound = 'window'}
  for _, lane in ipairs(LANES) do
    seen.used[lane] = count(SLOTS[lane], at)
    seen.total = seen.total + seen.used[lane]
  end
  seen.foreign = foreign_calls(at)
  seen.capacity = limit - seen.foreign
  if ADDRESS then
    local freed = 0
    if at > now then
      for _, lane in ipairs(LANES) do freed = freed + count(SLOTS[lane], now) end
      freed = freed - seen.total
    end
    local mine = math.max(0, tonumber(redis.call('HGET', ADDRESS_USED, arg.key) or 0) - freed)
    local allowed = seen.total - mine + address_allows(mine, count(ADDRESS_SLOTS, at))
    if allowed < seen.capacity then seen.capacity, seen.bound = allowed, 'address' end
  end
  seen.capacity = math.max(0, seen.capacity)
  seen.share = shares(seen.capacity)
  seen.reserve = math.floor(seen.capacity * tonumber(arg.reserve) / 100)
  return seen
end

-- ------------------------------------------------------------------------------------- deciding

-- Slots that other lanes are waiting for and have a right to.
local function owed(seen, lane)
  local slots = 0
  for _, other in ipairs(LANES) do
    local missing = seen.share[other] - seen.used[other]
    if other ~= lane and missing > 0 then slots = slots + math.min(missing, waiting(other)) end
  end
  return slots
end

local function turn(lane) return tonumber(log['turn:' .. lane] or 0) end

-- With one or two slots lanes take turns: the one served longest ago goes first, if its caller's
-- moment has come.
local function is_its_turn(lane)
  for _, other in ipairs(LANES) do
    local is_first = other ~= lane and turn(other) < turn(lane)
    if is_first and waiting(other, now + 1) > 0 then return false end
  end
  return true
end

-- How many callers of other lanes have their turn before the caller that is n-th in this lane.
local function turns_before(lane, n)
  local turns = 0
  for _, other in ipairs(LANES) do
    local first = turn(other) < turn(lane) and 1 or 0
    if other ~= lane then turns = turns + math.min(waiting(other), n + first) end
  end
  return turns
end

-- Callers of this lane whose moment has just come, and came before this one's.
local function due_before(lane)
  local own = redis.call('ZSCORE', TICKETS[lane], arg.caller)
  local to = math.min(own and tonumber(own) or now, now)
  local from = now - tonumber(arg.punctual)
  return redis.call('ZCOUNT', TICKETS[lane], '(' .. text(from), '(' .. text(to))
end

local function may_start(seen, lane)
  local total = seen.total
  if total >= seen.capacity then return false end
  local ahead = due_before(lane)
  if total + ahead >= seen.capacity then return false end
  if seen.capacity < FEW then return is_its_turn(lane) end
  if seen.used[lane] + ahead < seen.share[lane] then return true end
  return total + ahead + owed(seen, lane) < seen.capacity - seen.reserve
end

local function could_start(seen, lane)
  local free = seen.capacity - seen.total
  if seen.capacity < FEW then return math.max(0, free) end
  local own = math.min(free, seen.share[lane] - seen.used[lane])
  return math.max(0, own, free - seen.reserve - owed(seen, lane))
end

-- When the n-th of these slots frees. A slot in flight can free no sooner than if it were answered
-- now; more callers than slots wait for the slots to come round again.
local function nth(keys, n)
  n = math.min(math.max(1, n), LOOK_AHEAD)
  local times = {}
  for _, key in ipairs(keys) do
    local found = first(key, n)
    for i = 1, #found, 2 do
      local calls = key == FOREIGN and tonumber(string.match(found[i], ':(%d+)$')) or 1
      for _ = 1, math.min(calls, n) do times[#times + 1] = tonumber(found[i + 1]) end
    end
  end
  if #times == 0 then return now + keep end
  table.sort(times)
  local rounds = math.floor((n - 1) / #times)
  return math.min(times[(n - 1) % #times + 1], now + keep) + rounds * keep
end

-- Slots whose freeing helps this lane: its own, those of lanes that hold more than their share or
-- that nobody is waiting in, and calls that were not ours.
local function helpful(seen, lane)
  local keys = {SLOTS[lane], FOREIGN}
  for _, other in ipairs(LANES) do
    local spare = seen.used[other] > seen.share[other] or waiting(other) == 0
    if other ~= lane and spare then keys[#keys + 1] = SLOTS[other] end
  end
  return keys
end

-- When to come back. Callers are told different moments, so that each finds a slot of its own.
-- What others will leave to this lane nobody knows: then it is worth another look quite soon, but
-- not before anything can free at all.
local function come_back_at(seen, lane)
  local before = redis.call('ZSCORE', TICKETS[lane], arg.caller)
  local ahead = waiting(lane, before and tonumber(before))
  local over = seen.total - seen.capacity + 1
  local recheck = now + tonumber(arg.recheck)
  if seen.bound == 'address' and over > 0 then
    return math.min(nth({ADDRESS_SLOTS}, over + ahead), math.max(recheck, nth({ADDRESS_SLOTS}, 1)))
  end
  local every = {SLOTS.live, SLOTS.poll, SLOTS.bulk, FOREIGN}
  if seen.capacity < FEW then return nth(every, over + ahead + turns_before(lane, ahead)) end
  if seen.used[lane] < seen.share[lane] then return nth(helpful(seen, lane), over + ahead) end
  local own = nth({SLOTS[lane]}, seen.used[lane] - seen.share[lane] + 1 + ahead)
  local lent = nth(helpful(seen, lane), over + seen.reserve + owed(seen, lane) + ahead)
  if over > 0 then recheck = math.max(recheck, nth(every, over)) end
  return math.min(own, lent, recheck)
end

-- -------------------------------------------------------------------------------------- keeping

local function token()
  return (all.id or '') .. '/' .. (log.epoch or '') .. '/' .. (address and address.epoch or '')
end

local function reply(status, ...)
  return {status, text(now), text(tonumber(all.gen or 0)), all.id or '', text(seq), token(), ...}
end

-- Why the memory cannot be the one its callers have written, or nil.
local function lost()
  if not all.id then return 'absent' end
  if all.history ~= history() then return 'another server' end
  if now < tonumber(all.last) - tonumber(arg.jitter) then return 'clock went back' end
  local least = arg.id == all.id and tonumber(arg.least)
  if least and now < least then return 'clock went back' end
  if op == 'lose' and arg.lost == all.id then return 'clock went ahead' end
  if not arg.gen then return nil end
  local gen, seen = tonumber(all.gen), tonumber(arg.gen)
  if seen > gen then return 'older' end
  if seen == gen and arg.id ~= all.id then return 'older' end
  if seen == gen and tonumber(arg.seq) > seq then return 'older' end
  return nil
end

local function renew()
  local newest = math.max(tonumber(all.gen or 0), tonumber(arg.gen or 0))
  all = {gen = math.max(newest + 1, now), id = arg.fresh, history = history()}
  seq = 0
end

local function clear_log()
  redis.call('DEL', LOG, FLIGHT, FOREIGN)
  for _, lane in ipairs(LANES) do redis.call('DEL', SLOTS[lane], TICKETS[lane]) end
  seq = seq + 1
  log = {of = all.id, epoch = text(seq), n = 0}
end

local function clear_address()
  redis.call('DEL', ADDRESS, ADDRESS_SLOTS, ADDRESS_USED, ADDRESS_TICKETS)
  seq = seq + 1
  address = {of = all.id, epoch = text(seq), n = 0}
end

-- Lets go of what no longer counts, and finds a set that somebody else has thrown away.
local function prune()
  local found = 0
  for _, lane in ipairs(LANES) do
    found = found + redis.call('ZCARD', SLOTS[lane])
  end
  if log.of ~= all.id or tonumber(log.n) ~= found then return clear_log() end
  for _, lane in ipairs(LANES) do
    found = found - redis.call('ZREMRANGEBYSCORE', SLOTS[lane], '-inf', text(now))
  end
  redis.call('ZREMRANGEBYSCORE', FLIGHT, '-inf', text(now))
  redis.call('ZREMRANGEBYSCORE', FOREIGN, '-inf', text(now))
  log.n = found
end

local function prune_address()
  local found = redis.call('ZCARD', ADDRESS_SLOTS)
  local used = redis.call('HLEN', ADDRESS_USED)
  if address.of ~= all.id or tonumber(address.n) ~= found or (found > 0 and used == 0) then
    return clear_address()
  end
  local gone = redis.call('ZRANGEBYSCORE', ADDRESS_SLOTS, '-inf', text(now))
  for _, member in ipairs(gone) do
    redis.call('HINCRBY', ADDRESS_USED, string.match(member, '^%S+ (.*)$'), -1)
  end
  redis.call('ZREMRANGEBYSCORE', ADDRESS_SLOTS, '-inf', text(now))
  address.n = found - #gone
end

local function put_address(grant, key, at)
  if add(ADDRESS_SLOTS, at, grant .. ' ' .. key) == 1 then
    redis.call('HINCRBY', ADDRESS_USED, key, 1)
    written[ADDRESS_USED] = true
    address.n = address.n + 1
  end
end

local function put(lane, grant, at)
  log.n = log.n + add(SLOTS[lane], at, grant)
  if ADDRESS then put_address(grant, arg.key, at) end
end

local function take_back(lane, grant)
  log.n = log.n - redis.call('ZREM', SLOTS[lane], grant)
  if ADDRESS and redis.call('ZREM', ADDRESS_SLOTS, grant .. ' ' .. arg.key) == 1 then
    redis.call('HINCRBY', ADDRESS_USED, arg.key, -1)
    address.n = address.n - 1
  end
end

local function save_state(key, state)
  local flat = {}
  for name, value in pairs(state) do
    flat[#flat + 1] = name
    flat[#flat + 1] = tostring(value)
  end
  redis.call('HSET', key, unpack(flat))
  written[key] = true
end

local function save()
  save_state(ALL, {gen = text(all.gen), id = all.id, seq = text(seq), last = text(now),
    history = all.history})
  save_state(LOG, log)
  if ADDRESS then save_state(ADDRESS, address) end
  for key in pairs(written) do redis.call('PEXPIRE', key, arg.ttl) end
end

-- ------------------------------------------------------------------------------------ operations

-- Whether this caller may be granted anything: the logs are open, and it has either watched them
-- since before they opened or added to them what the database knows.
local function is_ready()
  if not log.opened or (address and not address.opened) then return false end
  if arg.joined == token() then return true end
  local opened = tonumber(log.opened)
  if address then opened = math.min(opened, tonumber(address.opened)) end
  return arg.id == all.id and arg.anchor ~= nil and tonumber(arg.anchor) <= opened
end

local operations = {}

function operations.ask()
  if not is_ready() then return reply('closed') end
  local lane, seen = arg.lane, view(now)
  if may_start(seen, lane) then
    seq = seq + 1
    local grant = all.id .. '.' .. text(seq)
    put(lane, grant, now + hold + keep)
    add(FLIGHT, now + hold, grant)
    redis.call('ZREM', TICKETS[lane], arg.caller)
    if ADDRESS then redis.call('ZREM', ADDRESS_TICKETS, arg.caller .. ' ' .. arg.key) end
    log['turn:' .. lane] = text(seq)
    return reply('granted', grant)
  end
  local at = come_back_at(seen, lane)
  redis.call('ZREMRANGEBYSCORE', TICKETS[lane], '-inf', text(now - grace))
  add(TICKETS[lane], at, arg.caller)
  if seen.bound == 'address' then
    redis.call('ZREMRANGEBYSCORE', ADDRESS_TICKETS, '-inf', text(now - grace))
    add(ADDRESS_TICKETS, at, arg.caller .. ' ' .. arg.key)
  end
  return reply('wait', text(at - now), seen.total < seen.capacity and 'share' or seen.bound)
end

-- A call whose slot is gone (the log was lost, the answer came very late) gets it again.
function operations.answered()
  seq = seq + 1 -- a memory from before this answer is behind what its caller knows
  redis.call('ZREM', FLIGHT, arg.grant)
  put(arg.lane, arg.grant, now + keep)
  return reply('done')
end

function operations.unused()
  if redis.call('ZREM', FLIGHT, arg.grant) == 1 then take_back(arg.lane, arg.grant) end
  return reply('done')
end

function operations.refused()
  operations.answered()
  local seen = view(now)
  local unknown = limit - seen.total - seen.foreign
  if log.opened and unknown > 0 then
    seq = seq + 1
    add(FOREIGN, now + tonumber(arg.again), text(seq) .. ':' .. text(unknown))
  end
  return reply('done')
end

-- Adds what the database knows, one call a line; what the log knows better stays.
function operations.merge()
  if arg.token ~= token() then return reply('closed') end
  local line = '(%S+) (%S+) (%S+) (%S+) ([^\n]*)\n'
  for grant, lane, left, state, key in string.gmatch(arg.calls, line) do
    local at = now + tonumber(left)
    if key ~= arg.key then
      local known = redis.call('ZSCORE', ADDRESS_SLOTS, grant .. ' ' .. key)
      if not known then put_address(grant, key, at) end
    else
      local known = redis.call('ZSCORE', SLOTS[lane], grant)
      local open = redis.call('ZSCORE', FLIGHT, grant)
      if not known or (tonumber(known) < at and (state == 'answered' or open)) then
        put(lane, grant, at)
        if state == 'flight' then add(FLIGHT, at - keep, grant) end
      end
    end
  end
  log.opened = log.opened or text(now)
  if address then address.opened = address.opened or text(now) end
  return reply('done')
end

function operations.prepare() return reply(is_ready() and 'ready' or 'closed') end

function operations.lose() return reply('closed') end

-- ------------------------------------------------------------------------------ looking, no more

local function is_open()
  local ours = all.id and log.of == all.id and log.opened
  return ours and (not address or (address.of == all.id and address.opened))
end

local views = {}

-- A log that is not open needs somebody to ask, or nobody would ever open it.
function views.room()
  if not is_open() then return reply('closed', 1) end
  return reply('done', could_start(view(now + tonumber(arg.within)), arg.lane))
end

function views.fill()
  if not is_open() then return reply('closed') end
  local seen, frees = view(now), {}
  for _, lane in ipairs(LANES) do
    local found = first(SLOTS[lane], 5)
    for i = 2, #found, 2 do frees[#frees + 1] = tonumber(found[i]) - now end
  end
  table.sort(frees)
  local parts = {}
  for i = 1, math.min(5, #frees) do parts[i] = text(frees[i]) end
  return reply('done', seen.used.live, seen.used.poll, seen.used.bulk,
    seen.share.live, seen.share.poll, seen.share.bulk,
    waiting('live'), waiting('poll'), waiting('bulk'),
    count(FLIGHT, now), seen.foreign, ADDRESS and count(ADDRESS_SLOTS, now) or 0,
    table.concat(parts, ' '))
end

if views[op] then return views[op]() end
if lost() then renew() end
prune()
if ADDRESS then prune_address() end
local answer = operations[op]()
save()
-- The number an answer carries is one that is safe in the log by now.
answer[5] = text(seq)
return answer
