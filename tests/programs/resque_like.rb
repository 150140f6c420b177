# A stand-in for a Resque worker, not Resque: it keeps the keys, titles and signals that
# lib/resque/worker.rb and lib/resque/data_store.rb of Resque 2.7 describe, as far as a drain meets them.
#
#   APP_REDIS_URL=redis://127.0.0.1:6379/0 ruby tests/programs/resque_like.rb QUEUE,QUEUE
#
# INTERVAL: how long it waits when it found no job. GRACEFUL_TERM: TERM does what QUIT does.
# APP_BLOAT_SECONDS, APP_BLOAT_MEGABYTES: when it grows, and by how much.
#
# Its jobs are {"class": ..., "args": [JOB, SECONDS]}; each writes down its beginning and its end as
# job_body.py does.

require "json"
require "redis"
require "socket"
require "time"

VERSION = "2.7.0"
QUEUES = ARGV.fetch(0).split(",")
IDENTITY = "#{Socket.gethostname}:#{Process.pid}:#{QUEUES.join(',')}"
INTERVAL = ENV.fetch("INTERVAL", "5").to_f

def connect = Redis.new(url: ENV.fetch("APP_REDIS_URL"))
def title(text) = $0 = "resque-#{VERSION}: #{text}"

def note(redis, word, job)
  fact = [word, job, Time.now.to_f, Process.pid, Process.ppid, Process.getpgrp]
  redis.rpush("app:record", JSON.dump(fact))
end

def perform(payload)
  job, seconds = payload["args"]
  redis = connect
  note(redis, "start", job)
  sleep seconds
  note(redis, "finish", job)
end

$0 = "resque: Starting"
child = nil
shutdown = paused = false
kill = proc do
  shutdown = true
  Process.kill("KILL", child) if child
end
trap("TERM") { ENV["GRACEFUL_TERM"] ? shutdown = true : kill.call }
trap("INT") { kill.call }
trap("QUIT") { shutdown = true }
trap("USR1") { Process.kill("KILL", child) if child }
trap("USR2") { paused = true }
trap("CONT") { paused = false }

redis = connect
Thread.new do
  beating = connect
  loop do
    beating.hset("resque:workers:heartbeat", IDENTITY, Time.at(beating.time.first).iso8601)
    sleep 60
  end
end
if ENV["APP_BLOAT_SECONDS"]
  Thread.new do
    sleep ENV["APP_BLOAT_SECONDS"].to_f
    $bloat = "x" * (ENV["APP_BLOAT_MEGABYTES"].to_i * 1024 * 1024)
  end
end
redis.sadd("resque:workers", [IDENTITY])
redis.set("resque:worker:#{IDENTITY}:started", Time.now.to_s)

is_paused = -> { paused || redis.get("resque:pause-all-workers").to_s.strip.downcase == "true" }
reserve = lambda do
  QUEUES.each do |queue|
    text = redis.lpop("resque:queue:#{queue}")
    return [queue, JSON.parse(text)] if text
  end
  nil
end

until shutdown
  queue, payload = is_paused.call ? nil : reserve.call
  if payload.nil?
    title(is_paused.call ? "Paused" : "Waiting for #{QUEUES.join(',')}")
    sleep INTERVAL
    next
  end
  data = { queue: queue, run_at: Time.now.utc.iso8601, payload: payload }
  redis.set("resque:worker:#{IDENTITY}", JSON.dump(data))
  title("Processing #{queue} since #{Time.now.to_i} [#{payload['class']}]")
  child = fork do
    perform(payload)
    exit!
  end
  title("Forked #{child} at #{Time.now.to_i}")
  begin
    Process.waitpid(child)
  rescue SystemCallError
    nil
  end
  child = nil
  redis.del("resque:worker:#{IDENTITY}")
end

redis.srem("resque:workers", [IDENTITY])
redis.del("resque:worker:#{IDENTITY}", "resque:worker:#{IDENTITY}:started")
redis.hdel("resque:workers:heartbeat", IDENTITY)
