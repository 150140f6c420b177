<?php

use Illuminate\Foundation\Application;

// What Laravel writes down at its start goes where the tests clean up.
foreach (['PACKAGES', 'SERVICES'] as $name) {
    $_ENV["APP_{$name}_CACHE"] = getcwd() . '/' . strtolower($name) . getmypid() . '.php';
}
$app = new Application(dirname(__DIR__));
if (method_exists($app, 'dontMergeFrameworkConfiguration')) {
    $app->dontMergeFrameworkConfiguration(); // from 11 on; Debian packages no defaults to merge
}
$app->useStoragePath(getcwd() . '/storage');
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(static function (Application $app): void {
    $app['events']->listen(Illuminate\Queue\Events\Looping::class, static function (): void {
        bloat_when_due();
    });
});

return $app;
