# Enqueues jobs steadily until it is enough; each is written down before it is enqueued.

require_relative "app"

number = 0
until store.exists?("app:enough")
  job = "job-#{number}"
  store.rpush("app:pushed", job)
  Delayed::Job.enqueue(FedJob.new(job, ENV.fetch("APP_JOB_SECONDS").to_f))
  number += 1
  sleep ENV.fetch("APP_FEED_EVERY_SECONDS").to_f
end
