-- Fetches many URLs at once over HTTP/1.1, and shows that waiting together takes no longer than the longest wait.
-- Without URLs it fetches the pages of a small site that it serves itself. `--help` lists the options.

local here = arg[0]:match("^.*/") or "./"
package.path = here .. "?.lua;" .. package.path

local async = require "luawait"
local http = require "lib.http"
local json = require "lib.json"
local options = require "lib.options"
local PartFile = require "lib.part_file"
local report = require "lib.report"
local terminal = require "lib.terminal"
local url = require "lib.url"

local errors = async.errors

local usage = [[
usage: fetch_all.lua [OPTION]... [URL]...

Fetches the URLs (http only), as many at once as --limit allows, and prints what became of each.
Without URLs it fetches the pages of a small site that it serves itself.

  --file LIST    read URLs from this file, one a line; "-" is standard input; "#" begins a comment line
  --limit N      requests at the same time (default 6)
  --timeout S    seconds until an attempt is given up (default 10; 1.2 for the own site)
  --retries N    attempts after the first when a failure may pass (default 2)
  --output DIR   save what came there; DIR is made if it is missing
  --json         print one JSON document instead of the table
  --help         print this

Exit status: 0 all were fetched (or it was the own site), 1 some were not, 2 wrong usage, 130 interrupted.
]]

local known = {
  { name = "file", value = "a file name, or - for standard input", check = options.text },
  { name = "limit", value = "a number from 1 on", check = options.count(1) },
  { name = "timeout", value = "seconds, more than 0", check = options.seconds },
  { name = "retries", value = "a number from 0 on", check = options.count(0) },
  { name = "output", value = "a directory name", check = options.text },
  { name = "json" },
  { name = "help" },
}

-- A reply that says no.
local StatusError = errors.class("StatusError", async.Error)

-- The time of one thing that a job did. It ends when the scope that holds it is left, in whatever way.
local Span = {}

function Span.__close(span)
  span.to = async.time()
end

local function measure(job, kind)
  local span = setmetatable({ kind = kind, from = async.time() }, Span)
  table.insert(job.spans, span)
  return span
end

-- Where the body of a job goes: a file, or nowhere.
local function open_file(job, directory)
  return directory and PartFile.open(directory .. "/" .. job.file)
end

-- One try, when a permit is free.
local function attempt(job, location, opts, permits)
  local permit <close> = permits:acquire()
  local request <close> = measure(job, "request")
  job.attempts = job.attempts + 1
  local file <close> = open_file(job, opts.output)
  local bytes = 0
  local function sink(data)
    bytes = bytes + #data
    if file then file:write(data) end
  end
  local reply = async.wait_for(function() return http.get(location, { sink = sink }) end, opts.timeout)
  if reply.status // 100 ~= 2 then error(StatusError(reply.reason, { status = reply.status })) end
  if file then file:keep() end
  return { status = reply.status, bytes = bytes, url = reply.url }
end

-- Whether trying again may help.
local passing = { [408] = true, [425] = true, [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }
local lasting = { EAI_NONAME = true, EAI_NODATA = true, EACCES = true, EMFILE = true }

local function may_pass(err)
  if errors.is(err, StatusError) then return passing[err.status] end
  if errors.is(err, async.OSError) then return not lasting[err.code] end
  return errors.is(err, async.TimeoutError) or errors.is(err, http.TruncatedError)
end

-- Seconds before the next attempt: doubled each time, and spread, so that those who failed together do not come back
-- together.
local function back_off(attempts)
  return math.min(0.1 * 2 ^ (attempts - 1), 5) * (0.5 + math.random() / 2)
end

-- Fetches one URL. Returns what came; raises what the last attempt raised.
local fetch = async(function(job, opts, permits)
  local location = url.parse(job.url)
  while true do
    local ok, result = async.pcall(attempt, job, location, opts, permits)
    if ok then return result end
    if job.attempts > opts.retries or not may_pass(result) then error(result, 0) end
    local pause <close> = measure(job, "pause")
    async.sleep(back_off(job.attempts))
  end
end)

-- Writes how far the jobs are, again and again, until it is cancelled.
local function show_progress(jobs)
  while true do
    local done, failed = 0, 0
    for _, job in ipairs(jobs) do
      local task = job.task
      if task:done() then done = done + 1 end
      if task:done() and (task:cancelled() or task:exception()) then failed = failed + 1 end
    end
    io.stderr:write(("\r\27[K%d of %d done, %d failed"):format(done, #jobs, failed))
    async.sleep(0.1)
  end
end

-- Shows the progress until the scope that holds the result is left.
local function progress(jobs)
  local task = async.create_task(function() show_progress(jobs) end)
  return setmetatable({}, {
    __close = function()
      task:cancel()
      io.stderr:write("\r\27[K")
    end,
  })
end

-- Fetches everything. Returns the outcomes, in the order of the jobs: each what `fetch` returned, or a Failure.
local function fetch_all(work, opts)
  local permits = async.Semaphore(opts.limit)
  local total <close> = measure(work, "all")
  local tasks = {}
  for i, job in ipairs(work.jobs) do
    job.task = async.create_task(fetch(job, opts, permits), { name = job.url })
    tasks[i] = job.task
  end
  local shown <close> = opts.progress and progress(work.jobs) or nil
  return async.gather(tasks, { return_exceptions = true })
end

local function new_job(index, address)
  local name = address:gsub("^%a+://", ""):gsub("[?#].*$", ""):match("[^/]*$"):gsub("[^%w._-]", "_"):sub(1, 100)
  return { url = address, file = ("%04d-%s"):format(index, name), spans = {}, attempts = 0 }
end

local function add_jobs(work, urls)
  for i, address in ipairs(urls) do work.jobs[i] = new_job(i, address) end
end

-- The same with the pages of the own site.
local function fetch_demo(work, opts)
  local demo_site = require "lib.demo_site"
  local site <close>, urls = demo_site.serve()
  add_jobs(work, urls)
  return fetch_all(work, opts)
end

-- After an interruption: the outcomes of the jobs that were finished by then.
local function salvage(jobs)
  local outcomes = {}
  for i, job in ipairs(jobs) do
    local task = job.task
    if task and task:done() and not task:cancelled() then
      local err = task:exception()
      outcomes[i] = err and { error = err } or task:result()
    end
  end
  return outcomes
end

local function explain(err, opts)
  if errors.is(err, StatusError) then return ("HTTP %d %s"):format(err.status, err.message) end
  if errors.is(err, async.TimeoutError) then return ("no reply within %g s"):format(opts.timeout) end
  if errors.is(err, async.OSError) then
    if err.code == "ECONNREFUSED" then return "connection refused" end
    if err.code and err.code:find("^EAI_") then return "cannot resolve the host name (" .. err.code .. ")" end
  end
  return errors.is(err, async.Error) and err.message or tostring(err)
end

-- What to show of a job; times count from `start`.
local function describe(job, outcome, opts, start)
  local row = { url = job.url, attempts = job.attempts, spans = {} }
  for i, span in ipairs(job.spans) do
    row.spans[i] = { kind = span.kind, from = span.from - start, to = span.to - start }
  end
  if not outcome then
    row.error = "interrupted"
  elseif outcome.error then
    row.error, row.status = explain(outcome.error, opts), outcome.error.status
  else
    row.status, row.bytes, row.final = outcome.status, outcome.bytes, outcome.url
    row.file = opts.output and opts.output .. "/" .. job.file
  end
  return row
end

local function write_json(rows, took, interrupted)
  local results = {}
  for i, row in ipairs(rows) do
    results[i] = {
      url = row.url,
      final_url = row.final or json.null,
      status = row.status or json.null,
      bytes = row.bytes or json.null,
      file = row.file or json.null,
      milliseconds = report.seconds(row) * 1000,
      attempts = row.attempts,
      error = row.error or json.null,
      spans = row.spans,
    }
  end
  print(json.encode({ results = results, seconds = took, interrupted = interrupted }))
end

local function fail_usage(message)
  io.stderr:write("fetch_all: ", message, " (--help lists the options)\n")
  os.exit(2, true)
end

local function read_list(name)
  local file, message = io.stdin, nil
  if name ~= "-" then file, message = io.open(name) end
  local text = nil
  if file then text, message = file:read("a") end
  if not text then fail_usage(("cannot read %s: %s"):format(name, message:match("[^:]*$"):match("^%s*(.*)$"))) end
  local urls = {}
  for line in text:gmatch("[^\r\n]+") do
    line = line:match("^%s*(.-)%s*$")
    if line ~= "" and line:sub(1, 1) ~= "#" then urls[#urls + 1] = line end
  end
  if #urls == 0 then fail_usage("no URLs in " .. name) end
  return urls
end

local function make_directory(name)
  local quoted = "'" .. name:gsub("'", "'\\''") .. "'"
  if not os.execute("mkdir -p -- " .. quoted .. " && test -w " .. quoted) then
    fail_usage("cannot write to the directory " .. name)
  end
end

-- The options and URLs of the command line, complete and checked.
local function read_command_line()
  local opts, urls = options.parse(arg, known)
  if not opts then fail_usage(urls) end
  if opts.help then return opts end
  if opts.file then table.move(read_list(opts.file), 1, 1000000, #urls + 1, urls) end
  opts.demo = #urls == 0
  opts.limit = opts.limit or 6
  opts.retries = opts.retries or 2
  opts.timeout = opts.timeout or opts.demo and 1.2 or 10
  opts.progress = terminal.is(2)
  if opts.output then make_directory(opts.output) end
  return opts, urls
end

-- Runs the work. Returns the outcomes, and whether Ctrl-C ended it.
local function run(work, opts)
  local job = opts.demo and fetch_demo or fetch_all
  local ok, outcomes = pcall(async.run, function() return job(work, opts) end)
  if ok then return outcomes, false end
  if not errors.is(outcomes, async.KeyboardInterrupt) then error(outcomes, 0) end
  return salvage(work.jobs), true
end

local function show(rows, took, opts, interrupted)
  if opts.json then return write_json(rows, took, interrupted) end
  local tty = terminal.is(1)
  local title = ("%s, at most %d at the same time; %g s for an attempt, at most %s"):format(
    report.count(#rows, "URL"), opts.limit, opts.timeout, report.count(opts.retries + 1, "attempt"))
  report.write(title, rows, took, {
    columns = tty and terminal.columns() or 100,
    colour = tty and not os.getenv("NO_COLOR"),
    utf8 = terminal.is_utf8(),
  })
end

local function main()
  local opts, urls = read_command_line()
  if opts.help then
    io.write(usage)
    return 0
  end
  local work = { jobs = {}, spans = {} }
  add_jobs(work, urls)
  local outcomes, interrupted = run(work, opts)
  local total = work.spans[1] or { from = 0, to = 0 }
  local rows, failed = {}, false
  for i, job in ipairs(work.jobs) do
    rows[i] = describe(job, outcomes[i], opts, total.from)
    failed = failed or rows[i].error ~= nil
  end
  show(rows, total.to - total.from, opts, interrupted)
  if interrupted then
    io.stderr:write("fetch_all: interrupted\n")
    return 130
  end
  return failed and not opts.demo and 1 or 0
end

os.exit(main(), true)
