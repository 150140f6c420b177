# The tests' Sidekiq for a rough life: it grows when it is told to, and waits out a Redis that is frozen.
#
# APP_BLOAT_DIRECTORY: a file there, named by this process's pid, makes it grow by APP_BLOAT_MEGABYTES or a
# little more.
# APP_BEAT_SECONDS: how often it writes its record; by default as often as any Sidekiq.

require_relative "../programs/sidekiq_app"
require "sidekiq/launcher"

$stdout.sync = true

# A job that Redis gave to a connection that was given up meanwhile would be lost by Sidekiq itself.
Sidekiq.configure_server { |config| config.redis = {url: ENV["REDIS_URL"], network_timeout: 15} }

if ENV["APP_BEAT_SECONDS"]
  Sidekiq::Launcher.send(:remove_const, :BEAT_PAUSE)
  Sidekiq::Launcher.const_set(:BEAT_PAUSE, ENV["APP_BEAT_SECONDS"].to_f)
end

Thread.new do
  told = File.join(ENV["APP_BLOAT_DIRECTORY"], Process.pid.to_s)
  sleep 0.25 until File.exist?(told)
  $bloat = "x" * ((ENV["APP_BLOAT_MEGABYTES"].to_i + rand(20)) * 1024 * 1024)
end
