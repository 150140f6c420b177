<?php

$url = parse_url(setting('REDIS_URL'));
$server = ['host' => $url['host'], 'port' => $url['port'], 'database' => 0];

return [
    'default' => 'none',
    'connections' => [],
    'redis' => ['client' => 'phpredis', 'default' => $server, 'cache' => $server],
];
