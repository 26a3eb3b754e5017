-- fs.watch: events of a directory and of a file, overflow, closing.
local async = require "luawait"
local fs = require "luawait.fs"
local helpers = require "spec.support.helpers"
local support = require "spec.support.fs"

local failure_text, os_error = helpers.failure_text, support.os_error

--- Takes events until one is this one; raises when none comes.
local function expect(watch, kind, name)
  return async.timeout(10, function()
    for got_kind, got_name in watch do
      if got_kind == kind and (not name or got_name == name) then return end
    end
    error("the watch has ended")
  end)
end

describe("fs.watch", function()
  it("tells what happens in a directory", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir))
      assert.equal(("<Watch %s open>"):format(dir), tostring(watch))
      fs.write_file(dir .. "/a", "x")
      expect(watch, "rename", "a")
      expect(watch, "change", "a")
      fs.rename(dir .. "/a", dir .. "/b\255")
      expect(watch, "rename", "a")
      expect(watch, "rename", "b\255")
      fs.remove(dir .. "/b\255")
      expect(watch, "rename", "b\255")
    end)
  end)

  it("tells what happens to a file, in a for loop too", function()
    support.run(function(dir)
      fs.write_file(dir .. "/log", "")
      async.create_task(function()
        for i = 1, 3 do
          async.sleep(0.01)
          fs.write_file(dir .. "/log", i .. "\n", { append = true })
        end
      end)
      local file <close> = fs.open(dir .. "/log")
      local lines = {}
      async.timeout(10, function()
        for kind, name in fs.watch(dir .. "/log") do
          assert.same({ "change", "log" }, { kind, name })
          for line in file:lines() do lines[#lines + 1] = line end
          if #lines == 3 then break end
        end
      end)
      assert.same({ "1", "2", "3" }, lines)
    end)
  end)

  it("keeps the loop alive, and waits", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir))
      local task = async.create_task(function() return watch:next() end)
      helpers.settle()
      assert.equal("an event of " .. dir, task:waiting_on())
      helpers.write_file(dir .. "/a", "")
      assert.equal("rename", async.await(task))
    end)
  end)

  it("keeps the events that come while nobody waits, also after a cancelled wait", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir))
      local task = async.create_task(function() return watch:next() end)
      helpers.settle()
      task:cancel()
      async.wait({ task })
      for i = 1, 20 do fs.mkdir(dir .. "/" .. i) end
      for i = 1, 20 do assert.same({ "rename", tostring(i) }, { watch:next() }) end
    end)
  end)

  it("gives an event to the next one where it met a cancellation", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir))
      for round = 1, 50 do
        local task = async.create_task(function() return watch:next() end)
        helpers.settle()
        fs.mkdir(dir .. "/" .. round)
        task:cancel()
        async.wait({ task })
        if task:cancelled() then assert.same({ "rename", tostring(round) }, { watch:next() }) end
      end
    end)
  end)

  it("reports what it had to drop as an overflow, once, and goes on", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir), { limit = 10 })
      for i = 1, 100 do helpers.write_file(dir .. "/" .. i, "") end
      async.sleep(0.05)
      for _ = 1, 10 do assert.are_not.equal("overflow", (watch:next())) end
      assert.same({ "overflow" }, { watch:next() })
      fs.mkdir(dir .. "/new")
      expect(watch, "rename", "new")
    end)
  end)

  it("reports an overflow of the system's queue, to every watch", function()
    if not os.execute("test -e /proc/sys/fs/inotify/max_queued_events") then return pending("not Linux") end
    support.run(function(dir)
      local watches = {}
      for i = 1, 20 do
        fs.mkdir(dir .. "/" .. i)
        watches[i] = fs.watch(dir .. "/" .. i)
      end
      -- While the loop is held up the system's queue fills; each watch alone has less than its limit.
      for n = 1, 900 do
        for i = 1, 20 do helpers.write_file(("%s/%d/%d"):format(dir, i, n), "") end
      end
      async.sleep(0.05)
      for _, watch in ipairs(watches) do
        expect(watch, "overflow")
        watch:close()
      end
    end)
  end)

  it("refuses a second task that waits", function()
    support.run(function(dir)
      local watch <close> = fs.watch(tostring(dir))
      local task = async.create_task(function() return watch:next() end)
      helpers.settle()
      assert.equal("RuntimeError: another task waits for this watch", failure_text(watch.next, watch))
      task:cancel()
    end)
  end)

  it("ends when it is closed, also for a task that waits", function()
    support.run(function(dir)
      local watch = fs.watch(tostring(dir))
      local task = async.create_task(function() return select("#", watch:next()) end)
      helpers.settle()
      watch:close()
      watch:close()
      assert.is_true(watch:is_closing())
      assert.equal(0, async.await(task))
      assert.is_nil(watch:next())
      assert.equal(("<Watch %s closed>"):format(dir), tostring(watch))
      for _ in watch do error("there is nothing to come") end
    end)
  end)

  it("ends with its scope and with the run", function()
    local dir <close> = support.directory()
    local before, kept = support.descriptors(), nil
    helpers.run(function()
      kept = fs.watch(tostring(dir))
      async.create_task(function() kept:next() end)
      local second
      do
        local watch <close> = fs.watch(tostring(dir))
        second = watch
      end
      assert.is_true(second:is_closing())
      async.sleep(0)
    end)
    assert.is_true(kept:is_closing())
    assert.equal(before, support.descriptors())
  end)

  it("raises what is wrong", function()
    support.run(function(dir)
      assert.equal("watch", os_error("ENOENT", dir .. "/none", fs.watch, dir .. "/none").syscall)
      assert.equal("bad argument #1 to 'watch' (string without zeros expected)", failure_text(fs.watch, "\0"))
      assert.equal("bad argument #2 to 'watch' (option 'limit': integer from 1 to 8192 expected)",
        failure_text(fs.watch, "/", { limit = 0 }))
    end)
    assert.equal("RuntimeError: no running event loop", failure_text(fs.watch, "/"))
  end)
end)
