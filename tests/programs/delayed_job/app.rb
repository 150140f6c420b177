# Delayed Job's database and its jobs, for tests that count them: what tests/programs/job_body.py does.
#
# The database is the file jobs.sqlite3 in the working directory, made by whoever comes first.
#
# APP_BLOAT_SECONDS: when a worker grows by APP_BLOAT_MEGABYTES, once.

require "active_record"
require "delayed_job_active_record"
require "json"
require "redis"

database = { "adapter" => "sqlite3", "database" => File.expand_path("jobs.sqlite3"), "timeout" => 60_000 }
ActiveRecord::Base.configurations = { "default_env" => database } # Delayed Job connects again by its name
ActiveRecord::Base.establish_connection
setup = File.open("jobs.lock", "w").tap { |file| file.flock(File::LOCK_EX) }
ActiveRecord::Base.connection.execute("PRAGMA journal_mode = WAL")
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define do
  create_table :delayed_jobs, if_not_exists: true do |table|
    table.integer :priority, default: 0, null: false
    table.integer :attempts, default: 0, null: false
    table.text :handler, null: false
    table.text :last_error
    table.datetime :run_at
    table.datetime :locked_at
    table.datetime :failed_at
    table.string :locked_by
    table.string :queue
    table.timestamps null: true
  end
end
setup.close

Delayed::Worker.logger = Logger.new($stdout)
Delayed::Worker.sleep_delay = 0.2

def store
  $store ||= Redis.new(url: ENV.fetch("APP_REDIS_URL"))
end

# Works for that many seconds, whatever a signal interrupts, and writes it down.
FedJob = Struct.new(:job, :seconds) do
  def perform
    note("start")
    finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    sleep 0.02 while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
    note("finish")
  end

  def note(word)
    fact = [word, job, Time.now.to_f, Process.pid, Process.ppid, Process.getpgrp]
    store.rpush("app:record", JSON.dump(fact))
  end
end

def bloat_later
  Thread.new do
    sleep ENV["APP_BLOAT_SECONDS"].to_f
    $bloat = "x" * (ENV["APP_BLOAT_MEGABYTES"].to_i * 1024 * 1024)
  end
end
