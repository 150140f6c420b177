<?php

return [
    'default' => 'redis',
    'prefix' => 'trial',
    'stores' => ['redis' => ['driver' => 'redis', 'connection' => 'cache']],
];
