<?php

/** Sends jobs steadily. */

require __DIR__ . '/bootstrap/autoload.php';

$app = require __DIR__ . '/bootstrap/app.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();
feed(static fn ($job, $seconds) => $app['queue']->push(new Recorded($job, $seconds)));
