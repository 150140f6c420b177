<?php

/** What the PHP applications of the tests do, as job_body.py does for the others: a record of jobs, and a leak. */

const RECORD = 'app:record';
const PUSHED = 'app:pushed';
const ENOUGH = 'app:enough';

function setting(string $name): string
{
    return (string) getenv("APP_$name");
}

function store(): Redis
{
    static $store = null;
    if ($store === null) {
        $url = parse_url(setting('REDIS_URL'));
        $store = new Redis();
        $store->connect($url['host'], $url['port']);
    }
    return $store;
}

/** Write down what happened to a job, when, and by which process, parent and group. */
function note(string $word, string $job): void
{
    $fact = [$word, $job, microtime(true), getmypid(), posix_getppid(), posix_getpgrp()];
    store()->rPush(RECORD, json_encode($fact));
}

/** One job. A signal that PHP handles ends a sleep early, so that it sleeps until its time is over. */
function run_job(string $job, float $seconds): void
{
    note('start', $job);
    $end = microtime(true) + $seconds;
    while (microtime(true) < $end) {
        usleep(20000);
    }
    note('finish', $job);
}

/** Hold APP_BLOAT_MEGABYTES once the process is APP_BLOAT_SECONDS old. */
function bloat_when_due(): void
{
    static $held = null;
    if ($held === null && microtime(true) - $_SERVER['REQUEST_TIME_FLOAT'] >= (float) setting('BLOAT_SECONDS')) {
        $held = str_repeat('x', 1024 * 1024 * (int) setting('BLOAT_MEGABYTES'));
    }
}

/**
 * Push jobs steadily until it is enough; each is written down before it is pushed. With APP_MOST_WAITING none is
 * pushed while so many are not finished: a job that is done left two notes.
 */
function feed(callable $push): void
{
    $most = (int) setting('MOST_WAITING');
    $number = 0;
    while (!store()->exists(ENOUGH)) {
        usleep((int) (1e6 * (float) setting('FEED_EVERY_SECONDS')));
        if ($most && $number - intdiv(store()->lLen(RECORD), 2) >= $most) {
            continue;
        }
        store()->rPush(PUSHED, "job-$number");
        $push("job-$number", (float) setting('JOB_SECONDS'));
        $number++;
    }
}
