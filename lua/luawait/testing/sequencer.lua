--- An order for blocks in several tasks. After trio.testing.Sequencer.
local core = require "luawait.core"
local check = require "luawait.check"

local Turn = {__name = "Turn"}
local Sequencer = {__name = "Sequencer"}

local function gate(self, turn)
  local event = self.gates[turn] or core.Event()
  self.gates[turn] = event
  return event
end

local function take(self, turn)
  if self.taken[turn] then error(core.errors.RuntimeError(("turn %d was taken before"):format(turn)), 3) end
  self.taken[turn] = true
end

-- The turn will never come to its end: all who wait for a later one are told.
local function break_off(self, turn)
  self.broken = self.broken or turn
  for _, event in pairs(self.gates) do event:set() end
end

local function check_unbroken(self)
  if not self.broken then return end
  local message = ("the sequence is broken: turn %d was cancelled while it waited"):format(self.broken)
  error(core.errors.RuntimeError(message), 3)
end

--- sequencer(turn): waits until the turn before has ended (turn 1 does not wait), and returns a value for a <close>
-- variable: leaving its block ends the turn. RuntimeError for a turn that was taken before. Where a wait for a turn is
-- cancelled, the sequence is broken: waits for others raise RuntimeError.
function Sequencer:__call(turn)
  if math.type(turn) ~= "integer" or turn < 1 then check.fail(1, "sequencer", "integer from 1 expected", 2) end
  take(self, turn)
  check_unbroken(self)
  if turn > 1 then
    local event = gate(self, turn)
    local ok, err = core.try(event.wait, event)
    if not ok then
      if core.errors.is(err, core.errors.CancelledError) then
        break_off(self, turn)
      else
        self.taken[turn] = nil -- it cannot be waited for here
      end
      error(err, 0)
    end
    check_unbroken(self)
  end
  return setmetatable({sequencer = self, turn = turn}, Turn)
end

function Turn:__close()
  gate(self.sequencer, self.turn + 1):set()
end

--- sequencer(): a new one
return function()
  return setmetatable({gates = {}, taken = {}}, Sequencer)
end
