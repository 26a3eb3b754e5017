-- A small make: each command runs as soon as what it needs is there, at most two at a time. One task for each target,
-- which awaits those that it needs; the first command that fails ends the others.
-- On a terminal one line shows how far it is and what runs; elsewhere there is a line for each target.
local async = require "luawait"
local process = require "luawait.process"
local tty = require "luawait.tty"

local rules = {
  { name = "east.txt", run = "printf 'osprey\nheron\nteal\n' > east.txt" },
  { name = "west.txt", run = "sleep 0.05; printf 'heron\nwren\n' > west.txt" },
  { name = "all.txt", needs = { "east.txt", "west.txt" }, run = "sort -u east.txt west.txt > all.txt" },
  { name = "count", needs = { "all.txt" }, run = "wc -l < all.txt | tr -d ' ' > count" },
  { name = "title", run = "sleep 0.1; echo Birds > title" },
  { name = "report", needs = { "title", "count", "all.txt" }, run = "cat title count all.txt > report" },
}
if arg[1] == "--broken" then rules[4].run = "echo 'count: out of fingers' >&2; exit 1" end

local by_name = {}
for _, rule in ipairs(rules) do by_name[rule.name] = rule end

local running, done = {}, 0
local on_terminal = false

local function show(finished)
  if not on_terminal then
    if finished then print(("[%d/%d] %s"):format(done, #rules, finished)) end
    return
  end
  local line = ("[%d/%d] %s"):format(done, #rules, table.concat(running, ", "))
  tty.stdout():write("\r", line:sub(1, (tty.winsize()) - 1), "\27[K")
end

local function remove(list, value)
  for i = #list, 1, -1 do
    if list[i] == value then table.remove(list, i) end
  end
end

local function make(directory)
  local slots, tasks = async.Semaphore(2), {}
  async.task_group(function(group)
    local function target(name)
      tasks[name] = tasks[name] or group:create_task(function()
        local rule = by_name[name]
        for _, needed in ipairs(rule.needs or {}) do async.await(target(needed)) end
        local slot <close> = slots:acquire()
        running[#running + 1] = name
        show()
        process.shell(rule.run, { cwd = directory, check = true })
        remove(running, name)
        done = done + 1
        show(name)
      end, { name = name })
      return tasks[name]
    end
    for _, rule in ipairs(rules) do target(rule.name) end
  end)
end

async.run(function()
  on_terminal = tostring(tty.stdout()):find("tty", 1, true) ~= nil
  local directory = process.run({ "mktemp", "-d" }, { check = true }).stdout:match("[^\n]+")
  local ok, err = async.pcall(make, directory)
  if on_terminal then print() end
  if ok then
    io.write(process.run({ "cat", "report" }, { cwd = directory, check = true }).stdout)
  else
    print(err.errors[1].message)
  end
  process.run({ "rm", "-r", directory }, { check = true })
end)
