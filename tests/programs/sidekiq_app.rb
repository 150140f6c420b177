# Jobs that record in Redis when they start and finish, for tests that count them.
#
#   REDIS_URL=redis://127.0.0.1:6379/0 sidekiq -r tests/programs/sidekiq_app.rb -c 2 -q default -t 2
#
# APP_BOOT_SECONDS: how long it takes to boot. APP_BOOT_MB: how much memory it then holds.
#
# APP_WITHOUT_QUEUES: it writes none into its record.
#
# APP_BLOAT_SECONDS: when each process grows by APP_BLOAT_MEGABYTES, once.
#
# The hashes `app:started` and `app:finished` hold, by job id, how often. `app:pids` holds, by job id,
# which process ran it last.

require "sidekiq"

# Writes no queues of its own into its record, as Sidekiq 9 is to do.
if ENV["APP_WITHOUT_QUEUES"]
  require "sidekiq/launcher"
  Sidekiq::Launcher.prepend(Module.new do
    private def to_data
      super.reject { |key, _| %w[queues weights].include?(key) }
    end
  end)
end

$ballast = "x" * (ENV.fetch("APP_BOOT_MB", "0").to_i * 1024 * 1024)
sleep ENV.fetch("APP_BOOT_SECONDS", "0").to_f

if ENV["APP_BLOAT_SECONDS"]
  Thread.new do
    sleep ENV["APP_BLOAT_SECONDS"].to_f
    $bloat = "x" * (ENV["APP_BLOAT_MEGABYTES"].to_i * 1024 * 1024)
  end
end

module Recorded
  def recorded
    Sidekiq.redis do |redis|
      redis.hset("app:pids", jid, Process.pid)
      redis.hincrby("app:started", jid, 1)
    end
    yield
    Sidekiq.redis { |redis| redis.hincrby("app:finished", jid, 1) }
  end
end

# Works for that many seconds.
class SleepJob
  include Sidekiq::Worker
  include Recorded

  def perform(seconds)
    recorded { sleep seconds }
  end
end

# Leaves that many MB behind in the process.
class LeakJob
  include Sidekiq::Worker
  include Recorded

  def perform(megabytes)
    recorded { $ballast << ("x" * (megabytes * 1024 * 1024)) }
  end
end

# Grows by that many MB when the key `app:grow` is set, and works until the key `app:end` is.
class GrowJob
  include Sidekiq::Worker
  include Recorded

  def perform(megabytes)
    recorded do
      wait_for_key "app:grow"
      $ballast << ("x" * (megabytes * 1024 * 1024))
      wait_for_key "app:end"
    end
  end

  private

  def wait_for_key(key)
    sleep 0.1 until Sidekiq.redis { |redis| redis.get(key) }
  end
end

# Works for that many seconds, and writes it down as tests/programs/job_body.py does.
class FedJob
  include Sidekiq::Worker

  def perform(job, seconds)
    note("start", job)
    sleep seconds
    note("finish", job)
  end

  private

  def note(word, job)
    fact = [word, job, Time.now.to_f, Process.pid, Process.ppid, Process.getpgrp]
    Sidekiq.redis { |redis| redis.rpush("app:record", fact.to_json) }
  end
end
