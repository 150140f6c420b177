# A stand-in for a worker that tells its busy count in its process title, as faktory-worker does.
#
#   ruby titled_worker.rb RECORD MEGABYTES
#
# Its first process holds so many MB and has one job in hand from the quiet on for some seconds; RECORD
# gets a line for each thing that happens to it.

record, megabytes = ARGV
first = !File.exist?(record)
say = ->(word) { File.open(record, "a") { |file| file.puts(word) } }
$ballast = "x" * (megabytes.to_i * 1024 * 1024) if first
say.call("up")

quiet = nil
trap("TSTP") { quiet ||= Process.clock_gettime(Process::CLOCK_MONOTONIC) }
trap("TERM") { Thread.new { say.call("terminated"); exit }.join }

said = []
busy = first ? 1 : 0
loop do
  if quiet
    said << say.call("quiet") if said.empty?
    if busy == 1 && Process.clock_gettime(Process::CLOCK_MONOTONIC) - quiet > 3
      busy = 0
      say.call("finished")
    end
  end
  Process.setproctitle("faktory-worker 1.1.0 test [#{busy} of 5 busy]#{' stopping' if quiet}")
  sleep 0.2
end
