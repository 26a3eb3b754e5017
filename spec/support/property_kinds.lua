--- All kinds of objects that random programs use, by name; `names` says how often.
local locks = require "spec.support.property_locks"
local meetings = require "spec.support.property_meetings"

return {
  Lock = locks.Lock, Semaphore = locks.Semaphore, Event = locks.Event,
  Condition = meetings.Condition, Barrier = meetings.Barrier, Queue = require "spec.support.property_queues",
  names = { "Lock", "Semaphore", "Event", "Condition", "Condition", "Barrier", "Queue", "Queue", "Queue" },
}
