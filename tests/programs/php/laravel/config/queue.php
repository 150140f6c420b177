<?php

return [
    'default' => 'redis',
    'connections' => [
        'redis' => [
            'driver' => 'redis',
            'connection' => 'default',
            'queue' => 'default',
            'retry_after' => (int) (getenv('APP_RETRY_AFTER') ?: 90),
            'block_for' => null,
        ],
    ],
    'failed' => ['driver' => 'null'],
];
