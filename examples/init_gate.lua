-- An initialization gate: an Event that is set when the database is there. Who asks earlier waits for it, all at once;
-- who asks later goes straight through.
-- Prints who asks, the connection, and then the answers in the order of the questions.
local async = require "luawait"

local Database = {}
Database.__index = Database

function Database.new()
  return setmetatable({ ready = async.Event() }, Database)
end

function Database:connect()
  async.sleep(0.02)
  print("connected")
  self.ready:set()
end

function Database:query(text)
  self.ready:wait()
  return "rows of " .. text
end

local client = async(function(database, name)
  print(name .. " asks")
  print(name .. " has " .. database:query(name))
end)

async.run(function()
  local database = Database.new()
  async.gather(function() database:connect() end, client(database, "ann"), client(database, "bob"))
  async.await(client(database, "eve"))
end)
