<?php

/** Laravel as Debian packages it: all parts but the framework's own have a loader of their own. */

require_once 'Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    $path = stream_resolve_include_path(str_replace('\\', '/', $class) . '.php');
    if ($path !== false && str_starts_with($class, 'Illuminate\\')) {
        require_once $path;
    }
});
require_once 'Illuminate/Foundation/helpers.php';
require_once __DIR__ . '/../../job_body.php';
require_once __DIR__ . '/../Recorded.php';
