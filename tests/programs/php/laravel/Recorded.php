<?php

/** The job. */
final class Recorded implements Illuminate\Contracts\Queue\ShouldQueue
{
    public function __construct(public string $job, public float $seconds)
    {
    }

    public function handle(): void
    {
        run_job($this->job, $this->seconds);
    }
}
