-- A batch processor: items gather in a queue, and are handled together when there are enough of them (an Event tells),
-- when they have waited long enough, or when no more will come.
-- Prints the batches.
local async = require "luawait"

local SIZE <const>, PATIENCE <const> = 4, 0.05

local Batcher = {}
Batcher.__index = Batcher

function Batcher.new(handle)
  return setmetatable({ items = async.Queue(), due = async.Event(), closed = false, handle = handle }, Batcher)
end

function Batcher:add(item)
  self.items:put_nowait(item)
  if self.items:qsize() >= SIZE then self.due:set() end
end

function Batcher:close()
  self.closed = true
  self.due:set()
end

-- Waits until a batch is due or PATIENCE is over, and takes what there is: up to SIZE items, maybe none.
function Batcher:next_batch()
  async.pcall(async.wait_for, function() self.due:wait() end, PATIENCE)      -- only TimeoutError can come of it
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

async.run(function()
  local batcher = Batcher.new(function(batch) print("batch of " .. #batch .. ": " .. table.concat(batch, ", ")) end)
  local running = async.create_task(function() batcher:run() end)
  for i = 1, 9 do batcher:add(i) end
  batcher.items:join()                            -- two full batches, and one whose time was over
  for i = 10, 12 do batcher:add(i) end
  batcher:close()                                 -- the last one goes at once
  async.await(running)
end)
