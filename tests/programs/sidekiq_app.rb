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
# APP_BEAT_SECONDS: how often it writes its record, in place of every few seconds.
#
# APP_LEAKS: the mixed jobs, separated by blanks, that leave 1 MB behind at each run.
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

if ENV["APP_BEAT_SECONDS"]
  require "sidekiq/launcher"
  Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
  Sidekiq::Launcher::BEAT_PAUSE = ENV["APP_BEAT_SECONDS"].to_f
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

# Five classes that work for that many seconds; those of APP_LEAKS also leave 1 MB behind.
LEAKS = ENV.fetch("APP_LEAKS", "").split
$left = []

%w[MailJob ReportJob ImportJob SyncJob ThumbnailJob].each do |name|
  Object.const_set(name, Class.new do
    include Sidekiq::Worker

    define_method(:perform) do |seconds|
      sleep seconds
      "x" * 200_000 # garbage, as every job makes it
      $left << ("x" * (1024 * 1024)) if LEAKS.include?(name)
    end
  end)
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
