# Enqueues jobs steadily until it is enough; each is written down before it is enqueued. With APP_MOST_WAITING
# none is enqueued while so many are not finished: a job that is done left two notes.

require_relative "app"

most = ENV["APP_MOST_WAITING"].to_i
number = 0
until store.exists?("app:enough")
  sleep ENV.fetch("APP_FEED_EVERY_SECONDS").to_f
  next if most.positive? && number - (store.llen("app:record") / 2) >= most

  job = "job-#{number}"
  store.rpush("app:pushed", job)
  Delayed::Job.enqueue(FedJob.new(job, ENV.fetch("APP_JOB_SECONDS").to_f))
  number += 1
end
