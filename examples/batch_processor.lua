-- A batch processor: items gather in a queue, and are handled together when there are enough of them (an Event tells),
-- when they have waited long enough, or when no more will come.
-- Prints the batches.
local async = require "luawait"

local SIZE <const> = 4

local Batcher = {}
Batcher.__index = Batcher

-- patience: seconds that an item may wait for others; handle: a function that takes an array of items.
function Batcher.new(patience, handle)
  local fields = { items = async.Queue(), due = async.Event(), closed = false, patience = patience, handle = handle }
  return setmetatable(fields, Batcher)
end

function Batcher:add(item)
  self.items:put_nowait(item)
  if self.items:qsize() >= SIZE then self.due:set() end
end

function Batcher:close()
  self.closed = true
  self.due:set()
end

-- Waits until a batch is due or patience is over, and takes what there is: up to SIZE items, maybe none.
function Batcher:next_batch()
  async.pcall(async.wait_for, function() self.due:wait() end, self.patience) -- only TimeoutError can come of it
  local batch = {}
  while #batch < SIZE and not self.items:empty() do batch[#batch + 1] = self.items:get_nowait() end
  if self.items:qsize() < SIZE and not self.closed then self.due:clear() end
  return batch
end

function Batcher:run()
  repeat
    local batch = self:next_batch()
    if #batch > 0 then self.handle(batch) end
    for _ = 1, #batch do self.items:task_done() end
  until self.closed and self.items:empty()
end

local function send(batch) print("sent: " .. table.concat(batch, ", ")) end

async.run(function()
  local parcels, letters = Batcher.new(60, send), Batcher.new(0.01, send)
  async.task_group(function(group)
    group:create_task(function() parcels:run() end)
    group:create_task(function() letters:run() end)
    for i = 1, SIZE do parcels:add("parcel " .. i) end
    parcels.items:join()                          -- sent at once: the batch is full
    for i = 1, 2 do letters:add("letter " .. i) end
    letters.items:join()                          -- sent soon: no more came in time
    for i = 5, 9 do parcels:add("parcel " .. i) end
    parcels:close()                               -- the last one goes at once, too
    letters:close()
  end)
end)
