/**
 * Runs several command lines in one process, one after another, as `shoal` would run each: what starting Node costs
 * is paid once. Takes the command lines as JSON; prints exit code and both outputs of each, as JSON.
 */
import { run } from '../../../control/cli/main.ts';

const commands = JSON.parse(process.argv[2] ?? '[]') as string[][];
const results: { code: number; stdout: string; stderr: string }[] = [];
const streams = { stdout: process.stdout, stderr: process.stderr };
const write = process.stdout.write.bind(process.stdout);

for (const words of commands) {
  const result = { code: 0, stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    streams[name].write = (piece: string | Uint8Array) => {
      result[name] += String(piece);
      return true;
    };
  }
  result.code = await run(words);
  results.push(result);
}
write(JSON.stringify(results));
