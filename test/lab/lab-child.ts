/**
 * `lab-child.ts NAME [keep]`: a process that makes a lab and then does nothing, for the tests of what remains of it.
 * Prints one line of JSON with the run, its namespace and the pid of a program inside.
 */
import { Lab } from './lib/lab.ts';

const [name = 'child', keep] = process.argv.slice(2);
const lab = await Lab.create({ name });
const host = await lab.addHost('node1');
const sleeper = host.spawn('sleep', ['300']);
if (keep === 'keep') lab.keep();
console.log(
  JSON.stringify({ run: lab.run, namespace: host.namespace, cgroup: host.cgroup, pid: sleeper.pid }),
);
setInterval(() => {}, 1_000);
