-- A file that appears under its name only when it is complete: until keep() it is NAME.part, and leaving its scope
-- without keep() removes that.
local async = require "luawait"

local PartFile = {}
PartFile.__index = PartFile

PartFile.SaveError = async.errors.class("SaveError", async.Error)

local function check(ok, message)
  if not ok then error(PartFile.SaveError("cannot save: " .. tostring(message))) end
  return ok
end

-- Plain io: a write to a file is short, and blocks for that long.
function PartFile.open(path)
  local part = path .. ".part"
  return setmetatable({ path = path, part = part, file = check(io.open(part, "wb")) }, PartFile)
end

function PartFile:write(data)
  check(self.file:write(data))
end

function PartFile:keep()
  check(self.file:close())
  self.file = nil
  check(os.rename(self.part, self.path))
end

function PartFile:__close()
  if not self.file then return end
  self.file:close()
  os.remove(self.part)
end

return PartFile
