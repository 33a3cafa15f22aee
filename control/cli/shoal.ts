#!/usr/bin/env node
/** The `shoal` command. */
import { run } from './main.ts';

// A reader that has seen enough (`shoal flows | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
process.exitCode = await run(process.argv.slice(2));
